package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/go-logr/logr"

	"github.com/seed31d4122e/reconciler/pkg/api"
	"github.com/seed31d4122e/reconciler/pkg/api/apitest"
	"github.com/seed31d4122e/reconciler/pkg/client"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// exampleAgent serves an agent in memory with two containers, and gives the path of its socket.
func exampleAgent() (socket string, stop func()) {
	agent := apitest.New()
	agent.Put(object("db", spec.PhaseRunning))
	agent.Put(object("web", spec.PhaseRunning))
	agent.AddLog("web", api.LogLine{Time: time.Unix(0, 0), Stream: "stdout", Bytes: []byte("listening\n")})
	agent.AddEvent(api.Event{Name: "web", Reason: "Started"})
	agent.AddImage(spec.Image{Container: "web", ID: "20260101-000000001", Cause: "by hand"}, "memory")
	dir, err := os.MkdirTemp("", "rc")
	if err != nil {
		panic(err)
	}
	socket = filepath.Join(dir, "s")
	listener, err := api.Listen(socket)
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	server := api.New(api.Config{Agent: agent, Logs: agent, Node: agent, Images: agent, Log: logr.Discard()})
	go func() { done <- server.Serve(ctx, listener) }()
	return socket, func() {
		cancel()
		<-done
		os.RemoveAll(dir)
	}
}

func Example() {
	socket, stop := exampleAgent() // on a node: /run/reconciler/reconciler.sock
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	agent := client.New(socket)
	list, err := agent.List(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, o := range list.Items {
		fmt.Println(o.Metadata.Name, o.Status.Phase)
	}
	// Output:
	// db Running
	// web Running
}

// Errors tell what went wrong by their kind, and a person what to do.
func ExampleClient_Get() {
	socket, stop := exampleAgent()
	defer stop()

	_, err := client.New(socket).Get(context.Background(), "wob")
	if errors.Is(err, fs.ErrNotExist) {
		fmt.Println(err)
	}
	if e, ok := errors.AsType[*api.Error](err); ok {
		fmt.Println(e.Reason)
		fmt.Println("hint:", e.Hint())
	}
	// Output:
	// no container "wob"
	// NotFound
	// hint: `reconciler get` lists them
}

// A watch begins with what is there, and goes on over a restart of the agent.
func ExampleClient_Watch() {
	socket, stop := exampleAgent()
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	agent := client.New(socket)
	for change, err := range agent.Watch(ctx) {
		if err != nil {
			fmt.Println(err)
			return
		}
		switch {
		case change.Type == api.Bookmark: // all that was there has been seen
			if _, err := agent.Do(ctx, "web", "pause"); err != nil {
				fmt.Println(err)
				return
			}
		case change.Object.Status.Phase == spec.PhasePaused:
			fmt.Println(change.Type, change.Object.Metadata.Name, "Paused")
			return
		default:
			fmt.Println(change.Type, change.Object.Metadata.Name)
		}
	}
	// Output:
	// Added db
	// Added web
	// Modified web Paused
}

func ExampleClient_WatchEvents() {
	socket, stop := exampleAgent()
	defer stop()

	for event, err := range client.New(socket).WatchEvents(context.Background(), "web", 0) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(event.Name, event.Reason)
		break // else it waits for more
	}
	// Output:
	// web Started
}

// An override lasts until it is cleared, or for a while.
func ExampleClient_Override() {
	socket, stop := exampleAgent()
	defer stop()

	o, err := client.New(socket).Override(context.Background(), "web", "stop", time.Hour)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(o.Status.Override.State)
	// Output:
	// Stopped
}

func ExampleClient_Logs() {
	socket, stop := exampleAgent()
	defer stop()

	logs, err := client.New(socket).Logs(context.Background(), "web", api.LogOptions{Tail: 10, Timestamps: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer logs.Close()
	_, _ = io.Copy(os.Stdout, logs)
	// Output:
	// 1970-01-01T00:00:00.000000000Z listening
}

// A command in a container is a session: its output, its input if it wants one, and its end.
func ExampleClient_Exec() {
	socket, stop := exampleAgent()
	defer stop()
	ctx := context.Background()

	session, err := client.New(socket).Exec(ctx, "web", spec.Exec{Command: []string{"sh", "-c", "echo hello; exit 3"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer session.Close()
	_, _ = io.Copy(os.Stdout, session.Stdout())
	exit, err := session.Wait(ctx)
	fmt.Println(exit.Code, err)
	// Output:
	// hello
	// 3 <nil>
}

func ExampleClient_Images() {
	socket, stop := exampleAgent()
	defer stop()

	images, err := client.New(socket).Images(context.Background(), "web")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, i := range images.Items {
		fmt.Println(i.Ref(), i.Cause)
	}
	// Output:
	// web/20260101-000000001 by hand
}
