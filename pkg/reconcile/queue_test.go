package reconcile

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// work runs workers on a queue until the bubble is told to stop; do is what they do.
func work(t *testing.T, q *queue, workers int, do func(string)) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() { q.Work(ctx, do, func() {}) })
	}
	return func() {
		cancel()
		wg.Wait()
	}
}

// A name is worked on by one worker at a time, once for any number of additions, and once more for those made meanwhile.
func TestQueueOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		var mu sync.Mutex
		busy, done := map[string]bool{}, map[string]int{}
		for range 5 { // before anybody works: who begins at once would find the rest added meanwhile
			for i := range 8 {
				q.Add(fmt.Sprint(i))
			}
		}
		stop := work(t, q, 4, func(name string) {
			mu.Lock()
			if busy[name] {
				t.Errorf("%s is worked on twice at once", name)
			}
			busy[name] = true
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			defer mu.Unlock()
			busy[name] = false
			done[name]++
		})
		defer stop()
		time.Sleep(500 * time.Millisecond)
		for range 5 {
			q.Add("0")
		}
		time.Sleep(time.Minute)
		for name, n := range done {
			if want := map[bool]int{true: 2, false: 1}[name == "0"]; n != want {
				t.Errorf("%s was worked on %d times, want %d", name, n, want)
			}
		}
		if len(done) != 8 || !q.Idle() || len(q.tickets) != 0 {
			t.Errorf("done %v, tickets %v", done, q.tickets)
		}
	})
}

// The last wake said counts, and a zero one takes it back.
func TestQueueWake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		var woken []string
		began := time.Now()
		stop := work(t, q, 1, func(name string) {
			woken = append(woken, fmt.Sprintf("%s at %v", name, time.Since(began)))
		})
		defer stop()
		q.Wake("a", began.Add(3*time.Second))
		q.Wake("b", began.Add(2*time.Second))
		q.Wake("c", began.Add(time.Second))
		q.Wake("a", began.Add(time.Second/2))
		q.Wake("c", time.Time{})
		q.Wake("d", began.Add(-time.Second))
		time.Sleep(time.Minute)
		if got := fmt.Sprint(woken); got != "[d at 0s a at 500ms b at 2s]" {
			t.Error(got)
		}
	})
}
