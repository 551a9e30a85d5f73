package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"

	"github.com/seed31d4122e/reconciler/pkg/api"
	"github.com/seed31d4122e/reconciler/pkg/web"
)

func newWeb(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "web",
		Short: "Print the address of the local web page",
		Long: `Print the address of the local web page, with its token: whoever has it can look at everything that the role read shows, on this node. The
agent serves it with run --web-listen 127.0.0.1:9465, and always at /ui/ on its socket, which ssh can forward. Paste the address into a browser: what is on a
command line, every user of the node can read. It shows containers, their state, charts of
what they use, events, plan, drift and output, and changes nothing.`,
		Example: `  sudo reconciler web
  ssh -L 9465:127.0.0.1:9465 NODE                               # then open here what web prints there
  ssh -L 8080:/run/reconciler/reconciler.sock NODE              # without --web-listen: http://localhost:8080/ui/`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := a.client().Version(cmd.Context()); err != nil {
				return err // while no agent is there, anybody could have its address
			}
			dir := filepath.Dir(a.socketPath())
			url, err := web.ReadKey(dir)
			if errors.Is(err, os.ErrNotExist) {
				return withHint(errors.New("the agent serves no web page at a loopback address"),
					"have it run with --web-listen 127.0.0.1:9465, or with another port where events say AddressUnavailable; or forward its socket: ssh -L 8080:"+filepath.Join(dir, socketName)+" NODE, then open http://localhost:8080/ui/")
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(a.out, clean(url))
			return err
		},
	}
}

// pageMounts are the web page on the socket.
func pageMounts() []api.Mount {
	return []api.Mount{{Pattern: "GET " + web.Prefix, Role: api.Read, Handler: web.Page()}, {Pattern: "GET /{$}", Role: api.Read, Handler: web.Page()}}
}

// openWeb listens at --web-listen, and guards what is served there. While another has the address, nobody is led there, and what pages that are open
// have told the other is no token any more.
func (f agentFlags) openWeb(next http.Handler, log logr.Logger) (serve, error) {
	listener, err := web.Listen(f.webListen)
	if err != nil {
		return nil, errors.Join(err, web.Forget(f.runDir))
	}
	token, err := web.Key(f.runDir, listener.Addr())
	if err != nil {
		listener.Close()
		return nil, err
	}
	log.Info("the web page is served", "url", "http://"+listener.Addr().String()+web.Prefix, "token", filepath.Join(f.runDir, web.KeyFile))
	return func(ctx context.Context) error { return web.Serve(ctx, listener, web.Guard(next, token), log) }, nil
}

// webDoor is the door of --web-listen. Without it, an address that an earlier agent has left goes.
func (f agentFlags) webDoor(next http.Handler, log logr.Logger) (d door) {
	if f.webListen != "" {
		d.open = func() (serve, error) { return f.openWeb(next, log) }
	} else if err := web.Forget(f.runDir); err != nil {
		log.Error(err, "the address of a web page is left")
	}
	return d
}
