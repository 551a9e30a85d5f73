package spec

import (
	"cmp"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/robfig/cron/v3"
	yamltree "go.yaml.in/yaml/v3"
)

// KindJob is the kind of a container that runs to completion.
const KindJob = "Job"

// Job is one manifest document: a container of the same name that runs to completion, once or by a schedule. Without a schedule it runs when it is new, and again when what it runs changes; not because the node was restarted after it has completed.
type Job struct {
	// APIVersion is the version of the manifest's words: reconciler/v1alpha1.
	APIVersion string `json:"apiVersion" format:"apiVersion"`
	// Kind is the kind of object: Job.
	Kind string `json:"kind" format:"kind"`
	// Metadata names the job and its container.
	Metadata Metadata `json:"metadata"`
	// Spec is what the job should do.
	Spec JobSpec `json:"spec"`
}

// JobSpec is the desired job.
type JobSpec struct {
	// Schedule says when it runs. Default: once.
	Schedule Schedule `json:"schedule,omitzero" class:"live"`
	// History is how many runs are remembered. Default 10.
	History int `json:"history,omitzero" class:"live" min:"1" max:"100"`
	// Suspend keeps the agent from doing anything about the job: no run begins, and one that runs runs on.
	Suspend bool `json:"suspend,omitzero" class:"live"`
	// DeletionPolicy says what becomes of the container when the manifest is removed, as that of a container.
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitzero" class:"live"`
	// Template is the container: it has the keys of a container's spec but state, suspend and deletionPolicy. restart.policy is OnFailure (default) or Never; restart.maxRestarts bounds the tries of one run, and deadline its time.
	Template ContainerSpec `json:"template" class:"replace"`
}

// Schedule says when a job runs. What came due while the agent or the node was down, or while the job could not run, is done once, as soon as it can.
type Schedule struct {
	// Cron is the time in the five fields of crontab(5) - minute, hour, day of the month, month, day of the week, where Sunday is 0 or 7 - or @hourly, @daily, @weekly, @monthly, @yearly, or @every with a duration.
	Cron string `json:"cron" class:"live" format:"cron"`
	// TimeZone is the zone of cron by its name in the tz database, such as Europe/Berlin; needs the node's /usr/share/zoneinfo. Default: the node's.
	TimeZone string `json:"timeZone,omitzero" class:"live" format:"timeZone"`
	// Concurrency says what happens when a run is due while one goes on: Forbid (it is left out; default) or Replace (the one that goes on is stopped).
	Concurrency Concurrency `json:"concurrency,omitzero" class:"live"`
	// StartingDeadline is how late a run may begin; one that is later is left out. Default: no end.
	StartingDeadline Duration `json:"startingDeadline,omitzero" class:"live" min:"1s"`
}

// Concurrency names what happens to runs that meet.
type Concurrency string

// What can happen to runs that meet.
const (
	ConcurrencyForbid  Concurrency = "Forbid"
	ConcurrencyReplace Concurrency = "Replace"
)

// JobRuns is what a container knows of the job that it is of.
type JobRuns struct {
	// History is how many runs are remembered.
	History int `json:"history,omitzero" class:"live" min:"1" max:"100"`
	// Schedule says when it runs; nothing for once.
	Schedule Schedule `json:"schedule,omitzero" class:"live"`
}

// IsZero tells whether a container is of no job.
func (j JobRuns) IsZero() bool { return j.History == 0 }

// Scheduled tells whether it runs again and again.
func (j JobRuns) Scheduled() bool { return j.Schedule.Cron != "" }

// Times are the times of a schedule. A zone that the node does not know is an error.
func (s Schedule) Times() (cron.Schedule, error) {
	text := sundays(s.Cron)
	if s.TimeZone != "" {
		if _, err := time.LoadLocation(s.TimeZone); err != nil {
			return nil, err
		}
		text = "CRON_TZ=" + s.TimeZone + " " + text
	}
	return cron.ParseStandard(text)
}

// cronHint shows what a time can be.
const cronHint = `minute, hour, day of the month, month, day of the week, such as "30 2 * * 1-5"; or @daily, @every 10m`

// checkCron reads the times of a schedule.
func checkCron(text string) error {
	switch {
	case strings.Contains(text, "TZ="):
		return errors.New("say timeZone instead")
	case text == "@reboot":
		return fault{"a job does not run at each boot", "say kind: " + KindContainer + ", with restart.policy OnFailure or Never"}
	}
	times, err := cron.ParseStandard(sundays(text))
	if err != nil {
		return fault{quote(text) + " is no time: " + err.Error(), cronHint}
	}
	if times.Next(time.Unix(1<<30, 0)).IsZero() {
		return fault{message: "this time never comes"}
	}
	return nil
}

// toSunday is a range of days that ends with Sunday as 7, and its step.
var toSunday = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^([0-7])-7(?:/([1-7]))?$`) })

// sundays is a schedule with 0 for a Sunday that is written as 7, which crontab(5) has and the parser has not.
func sundays(text string) string {
	fields := strings.Fields(text)
	if len(fields) != 5 {
		return text
	}
	days := strings.Split(fields[4], ",")
	for i, day := range days {
		days[i] = sunday(day)
	}
	fields[4] = strings.Join(days, ",")
	return strings.Join(fields, " ")
}

// sunday is a day or a range of days without a 7.
func sunday(day string) string {
	if day == "7" {
		return "0"
	}
	m := toSunday().FindStringSubmatch(day)
	if m == nil {
		return day
	}
	var list []string
	first, _ := strconv.Atoi(m[1])
	step, _ := strconv.Atoi(cmp.Or(m[2], "1"))
	for d := first; d <= 7; d += step {
		list = append(list, strconv.Itoa(d%7))
	}
	return strings.Join(list, ",")
}

// Expand gives the job's container.
func (j Job) Expand() Container {
	c := Container{APIVersion: j.APIVersion, Kind: KindContainer, Metadata: j.Metadata, Spec: j.Spec.Template}
	c.Spec.Suspend, c.Spec.DeletionPolicy = j.Spec.Suspend, j.Spec.DeletionPolicy
	c.Spec.Job = JobRuns{History: j.Spec.History, Schedule: j.Spec.Schedule}
	orElse(&c.Spec.Job.History, 10)
	orElse(&c.Spec.Restart.Policy, RestartOnFailure)
	return c
}

// jobOwned are the keys of a container that its job says, with the place where it does, or that a job cannot have.
var jobOwned = []ownedKey{
	{"state", ""},
	{"suspend", "spec.suspend"},
	{"deletionPolicy", "spec.deletionPolicy"},
	{"group", ""},
	{"job", "spec.schedule"},
}

// agreeJob checks what a job's fields say together, and its container as a container.
func (c *checker) agreeJob(root *yamltree.Node) {
	template := at(root, "spec", "template")
	c.member = "spec.template"
	c.agreeOwned(template, jobOwned, "is said by the job")
	if n := at(template, "restart", "policy"); n != nil && n.Value == string(RestartAlways) {
		c.add(n, "spec.restart.policy", fault{"a job ends", "say OnFailure or Never, or kind: " + KindContainer})
	}
	c.agreeContainer(template)
	c.member = ""
}
