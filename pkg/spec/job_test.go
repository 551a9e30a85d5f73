package spec_test

import (
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// A job is its container, of the same name, which ends and is restarted on failure only.
func TestJob(t *testing.T) {
	c := decodeOne(t, readFile(t, "job.yaml"))
	want := spec.JobRuns{History: 20, Schedule: spec.Schedule{Cron: "30 2 * * 1-5", TimeZone: "Europe/Berlin", StartingDeadline: spec.Duration(10 * time.Minute)}}
	if c.Kind != spec.KindContainer || c.Metadata.Name != "backup" || c.Spec.Job != want || c.Spec.Restart.Policy != spec.RestartOnFailure {
		t.Errorf("got %+v", c)
	}
	if err := c.Check(); err != nil {
		t.Error(err)
	}
	other := c
	other.Spec.Job.Schedule.Cron = "@daily"
	if spec.Identity(c, spec.DefaultsVersion) != spec.Identity(other, spec.DefaultsVersion) {
		t.Error("another time is another container")
	}
}

// Times are those of the zone that is said, whatever it does to its clocks.
func TestScheduleTimes(t *testing.T) {
	utc := func(text string) time.Time {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	for _, c := range []struct{ cron, zone, after, next string }{
		{"30 2 * * *", "UTC", "2026-03-01T00:00:00Z", "2026-03-01T02:30:00Z"},
		{"30 2 * * 1-5", "UTC", "2026-03-06T02:30:00Z", "2026-03-09T02:30:00Z"}, // over a weekend
		{"0 12 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T10:00:00Z"},
		{"0 12 29 2 *", "UTC", "2026-03-01T00:00:00Z", "2028-02-29T12:00:00Z"},
		{"30 2 * * 7", "UTC", "2026-03-06T02:30:00Z", "2026-03-08T02:30:00Z"}, // Sunday, as 0
		{"30 2 * * 2,7", "UTC", "2026-03-06T02:30:00Z", "2026-03-08T02:30:00Z"},
		{"30 2 * * 6-7", "UTC", "2026-03-07T02:30:00Z", "2026-03-08T02:30:00Z"},
		{"30 2 * * 6-7", "UTC", "2026-03-08T02:30:00Z", "2026-03-14T02:30:00Z"},
		{"30 2 * * 1-7/3", "UTC", "2026-03-05T02:30:00Z", "2026-03-08T02:30:00Z"}, // Monday, Thursday, Sunday
		{"30 2 * * 0-7", "UTC", "2026-03-06T02:30:00Z", "2026-03-07T02:30:00Z"},
		{"30 2 * * 7-7", "UTC", "2026-03-06T02:30:00Z", "2026-03-08T02:30:00Z"},
		{"@hourly", "", "2026-03-01T00:59:59Z", "2026-03-01T01:00:00Z"},
		{"@every 90s", "", "2026-03-01T00:00:00Z", "2026-03-01T00:01:30Z"},
	} {
		times, err := spec.Schedule{Cron: c.cron, TimeZone: c.zone}.Times()
		if err != nil {
			t.Errorf("%s: %v", c.cron, err)
			continue
		}
		if got := times.Next(utc(c.after)); !got.Equal(utc(c.next)) {
			t.Errorf("%s in %q after %s: got %v, want %s", c.cron, c.zone, c.after, got.UTC(), c.next)
		}
	}
}
