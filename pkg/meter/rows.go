package meter

import (
	"runtime"
	"slices"
	"sort"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/metric"
	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// row is a family of the agent's own figures.
type row struct {
	metric.Family
	write func(*scrape)
}

// one is a row with one figure.
func one(name string, t metric.Type, help string, of func(*scrape) float64) row {
	return row{metric.Family{Name: name, Type: t, Help: help}, func(s *scrape) { s.Sample(of(s)) }}
}

// spread is a row of one histogram.
func spread(name, help string, of func(*Meter) *metric.Spread) row {
	return row{metric.Family{Name: name, Type: metric.Histogram, Help: help}, func(s *scrape) { s.Spread(of(s.Meter)) }}
}

// byLabels is a row of counts.
func byLabels(name, help string, of func(*Meter) *metric.Set[metric.Count], labels ...string) row {
	return row{metric.Family{Name: name, Type: metric.Counter, Help: help, Labels: labels}, func(s *scrape) {
		of(s.Meter).Each(func(c *metric.Count, values ...string) { s.Sample(c.Value(), values...) })
	}}
}

// labelled is a row of gauges.
func labelled(name, help string, write func(*scrape), labels ...string) row {
	return row{metric.Family{Name: name, Type: metric.Gauge, Help: help, Labels: labels}, write}
}

// verbSpread is a row of the durations of one verb.
func verbSpread(name, help, verb string) row {
	return spread(name, help, func(m *Meter) *metric.Spread { return m.action.With(verb) })
}

// The containers whose number is asked for most.
const (
	counter = metric.Counter
	gauge   = metric.Gauge
)

// rows are all families but those of single containers, in the order in which they are shown.
var rows = []row{
	labelled("reconciler_build_info", "The version of the agent; always 1.", func(s *scrape) {
		s.Sample(1, s.Version, s.Revision, runtime.Version())
	}, "version", "revision", "goversion"),

	labelled("reconciler_containers", "Containers by phase.", writePhases, "phase"),
	labelled("reconciler_containers_condition", "Containers by condition and what it says.", writeConditions, "condition", "status"),
	one("reconciler_desired_containers", gauge, "Containers that a manifest or record wants.", func(s *scrape) float64 { return float64(s.activity.Desired) }),
	one("reconciler_active_containers", gauge, "Containers with a process.", func(s *scrape) float64 { return s.countObjects(active) }),
	one("reconciler_working_containers", gauge, "Containers that a worker is at now.", func(s *scrape) float64 { return float64(len(s.activity.Working)) }),
	one("reconciler_orphaned_containers", gauge, "Containers that no manifest explains: nothing is done about them.", func(s *scrape) float64 { return float64(s.activity.Orphaned) }),
	one("reconciler_drifted_containers", gauge, "Containers of which something differs that is not put back.", func(s *scrape) float64 { return s.countObjects(drifted) }),

	byLabels("reconciler_passes_total", "Passes of the loop by what came of them.", func(m *Meter) *metric.Set[metric.Count] { return m.passes }, "outcome"),
	spread("reconciler_pass_duration_seconds", "How long a pass took, actions included.", func(m *Meter) *metric.Spread { return m.pass }),
	one("reconciler_pass_oldest_seconds", gauge, "How long the oldest pass under way has been going on; 0 when there is none.", oldestPass),
	byLabels("reconciler_actions_total", "Actions tried, by verb and result, those by hand included.", func(m *Meter) *metric.Set[metric.Count] { return m.actions }, "action", "result"),
	{metric.Family{Name: "reconciler_action_duration_seconds", Type: metric.Histogram, Help: "How long an action took, by verb.", Labels: []string{"action"}}, func(s *scrape) {
		s.Meter.action.Each(func(d *metric.Spread, values ...string) { s.Spread(d, values...) })
	}},
	one("reconciler_workers", gauge, "How many passes may be under way at one time.", func(s *scrape) float64 { return float64(s.activity.Workers) }),
	one("reconciler_queue_depth", gauge, "Containers that are due and wait for a worker.", func(s *scrape) float64 { return float64(len(s.activity.Ready)) }),
	one("reconciler_queue_waking", gauge, "Containers that will be due at a time of their own.", func(s *scrape) float64 { return float64(s.activity.Waking) }),
	spread("reconciler_queue_latency_seconds", "How long a container was due before a worker took it.", func(m *Meter) *metric.Spread { return m.wait }),
	spread("reconciler_converge_duration_seconds", "From the scan that brought a manifest until its container was ready with nothing left to do.", func(m *Meter) *metric.Spread { return m.converged }),

	labelled("reconciler_manifest_errors", "What is wrong with manifests now, by reason.", writeProblems, "reason"),
	one("reconciler_prune_blocked_containers", gauge, "Containers whose removal waits for a confirmation.", func(s *scrape) float64 { return float64(s.activity.Blocked) }),
	labelled("reconciler_source_up", "Whether the latest scan of a source read all of it.", func(s *scrape) {
		for _, source := range s.activity.Sources {
			s.Sample(oneIf(source.OK), source.Name)
		}
	}, "source"),
	labelled("reconciler_source_last_success_timestamp_seconds", "When a source was last read completely; 0 for never.", func(s *scrape) {
		for _, source := range s.activity.Sources {
			s.Sample(seconds(source.Read), source.Name)
		}
	}, "source"),
	labelled("reconciler_source_revision_info", "What is in force of a source: its writer's revision, else a hash; always 1.", func(s *scrape) {
		for _, source := range s.activity.Sources {
			s.Sample(1, source.Name, source.Revision)
		}
	}, "source", "revision"),

	spread("reconciler_relist_duration_seconds", "How long a look at the whole node took.", func(m *Meter) *metric.Spread { return m.relist }),
	byLabels("reconciler_relists_total", "Looks at the whole node.", func(m *Meter) *metric.Set[metric.Count] { return m.relists }, "result"),
	one("reconciler_relist_last_success_timestamp_seconds", gauge, "When the whole node was last looked at; 0 for never.", func(s *scrape) float64 { return seconds(s.activity.Relisted) }),
	one("reconciler_relist_missed_changes_total", counter, "Changes that a look at the whole node found and no event had told of.", func(s *scrape) float64 { return s.Meter.missed.Value() }),
	byLabels("reconciler_drift_corrections_total", "Repairs of what others changed behind the agent's back, by field.", func(m *Meter) *metric.Set[metric.Count] { return m.drifts }, "field"),
	byLabels("reconciler_warnings_total", "Events that are warnings, by reason.", func(m *Meter) *metric.Set[metric.Count] { return m.warnings }, "reason"),

	verbSpread("reconciler_checkpoint_duration_seconds", "How long taking an image took.", reconcile.VerbCheckpoint),
	spread("reconciler_checkpoint_frozen_seconds", "How long a container stood still for an image.", func(m *Meter) *metric.Spread { return m.frozen }),
	spread("reconciler_checkpoint_size_bytes", "What an image takes on disk.", func(m *Meter) *metric.Spread { return m.size }),
	verbSpread("reconciler_restore_duration_seconds", "How long the begin of a run from an image took.", reconcile.VerbRestore),

	byLabels("reconciler_api_requests_total", "Requests of the API by the caller's role and the status of the answer.", func(m *Meter) *metric.Set[metric.Count] { return m.requests }, "role", "code"),
	spread("reconciler_api_request_duration_seconds", "How long it took until the answer to a request of the API began.", func(m *Meter) *metric.Spread { return m.request }),

	one("reconciler_keeper_up", gauge, "Whether the keeper answers.", func(s *scrape) float64 { return oneIf(s.keeper.Pid != 0) }),
	one("reconciler_keeper_answer_seconds", gauge, "How long the keeper took to answer this scrape.", func(s *scrape) float64 { return s.answered.Seconds() }),
	one("reconciler_keeper_cpu_seconds_total", counter, "Processor time of the keeper.", func(s *scrape) float64 { return usec(s.keeper.CPUUsec) }),
	one("reconciler_keeper_resident_memory_bytes", gauge, "Resident memory of the keeper.", func(s *scrape) float64 { return float64(s.keeper.RSS) }),
	one("reconciler_keeper_open_fds", gauge, "Open descriptors of the keeper.", func(s *scrape) float64 { return float64(s.keeper.descriptors) }),
	one("reconciler_keeper_start_time_seconds", gauge, "When the keeper started.", func(s *scrape) float64 { return seconds(s.keeper.StartedAt) }),

	one("process_cpu_seconds_total", counter, "Processor time of the agent.", func(s *scrape) float64 { return usec(s.agent.CPUUsec) }),
	one("process_resident_memory_bytes", gauge, "Resident memory of the agent.", func(s *scrape) float64 { return float64(s.agent.RSS) }),
	one("process_open_fds", gauge, "Open descriptors of the agent.", func(s *scrape) float64 { return float64(s.agent.descriptors) }),
	one("process_start_time_seconds", gauge, "When the agent started.", func(s *scrape) float64 { return seconds(s.agent.StartedAt) }),
	one("process_threads", gauge, "Threads of the agent.", func(s *scrape) float64 { return float64(s.agent.Threads) }),
	one("go_goroutines", gauge, "Goroutines of the agent.", func(s *scrape) float64 { return s.went.goroutines }),
	one("go_memstats_heap_alloc_bytes", gauge, "Memory of the agent's objects.", func(s *scrape) float64 { return s.went.heap }),
	one("go_memstats_sys_bytes", gauge, "Memory that the Go runtime of the agent has from the system.", func(s *scrape) float64 { return s.went.total }),
	one("go_gc_cycles_total", counter, "Garbage collections of the agent.", func(s *scrape) float64 { return s.went.collections }),

	one("reconciler_scrape_stats_seconds", gauge, "How long this scrape took to read the statistics of containers.", func(s *scrape) float64 { return s.spent.Seconds() }),
	one("reconciler_scrape_stats_failures_total", counter, "Statistics of containers that could not be read.", func(s *scrape) float64 { return s.Meter.lost.Value() }),
	one("reconciler_metrics_own_containers", gauge, "Containers that have figures of their own.", func(s *scrape) float64 { return float64(s.alone) }),
	one("reconciler_metrics_aggregated_containers", gauge, `Containers beyond run --metrics-containers, whose figures are added up under the name "`+Others+`".`, func(s *scrape) float64 { return float64(s.together) }),
}

func oneIf(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func usec(n uint64) float64 { return float64(n) / 1e6 }

// seconds is a time since 1970; 0 for none.
func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1e3
}

func oldestPass(s *scrape) float64 {
	if len(s.activity.Working) == 0 {
		return 0
	}
	return max(0, time.Since(s.activity.Working[0].Since).Seconds())
}

func (s *scrape) countObjects(is func(*spec.Object) bool) (n float64) {
	for i := range s.objects {
		n += oneIf(is(&s.objects[i]))
	}
	return n
}

func active(o *spec.Object) bool { return o.Status.Container.Pid != 0 }

// drifted tells whether something differs now: what was put back still shows in the condition.
func drifted(o *spec.Object) bool {
	return slices.ContainsFunc(o.Status.Conditions, func(c spec.Condition) bool {
		return c.Type == spec.ConditionDrifted && c.Status == spec.True && c.Reason == reconcile.ReasonDifferent
	})
}

// phases are all of them: one that no container is in has a figure as well.
var phases = []spec.Phase{
	spec.PhasePending, spec.PhaseStarting, spec.PhaseRunning, spec.PhasePaused, spec.PhaseStopped, spec.PhaseCheckpointed, spec.PhaseCompleted, spec.PhaseBackOff,
	spec.PhaseFailed, spec.PhaseTerminating,
}

func writePhases(s *scrape) {
	count := map[spec.Phase]float64{}
	for i := range s.objects {
		count[s.objects[i].Status.Phase]++
	}
	for _, phase := range phases {
		s.Sample(count[phase], string(phase))
	}
}

// conditions are those that have figures whether a container has them or not.
var conditions = []spec.ConditionType{
	spec.ConditionReady, spec.ConditionReconciling, spec.ConditionStalled, spec.ConditionAccepted, spec.ConditionDrifted, spec.ConditionOutdated, spec.ConditionSuspended,
	spec.ConditionRolledBack, spec.ConditionCheckpointed, spec.ConditionRestored,
}

func writeConditions(s *scrape) {
	type key struct {
		spec.ConditionType
		spec.ConditionStatus
	}
	count := map[key]float64{}
	for i := range s.objects {
		for _, c := range s.objects[i].Status.Conditions {
			count[key{c.Type, c.Status}]++
		}
	}
	for _, condition := range conditions {
		for _, status := range []spec.ConditionStatus{spec.True, spec.False, spec.Unknown} {
			s.Sample(count[key{condition, status}], string(condition), string(status))
		}
	}
}

// reasons are why a manifest may be refused: those that are known have figures from the beginning.
var reasons = []string{
	reconcile.ReasonInvalid, reconcile.ReasonDuplicateName, reconcile.ReasonDependencyCycle, reconcile.ReasonPolicyDenied, reconcile.ReasonSignatureInvalid,
	reconcile.ReasonSourceUnavailable,
}

func writeProblems(s *scrape) {
	all := slices.Clone(reasons)
	for reason := range s.activity.Problems {
		if !slices.Contains(all, reason) {
			all = append(all, reason)
		}
	}
	sort.Strings(all)
	for _, reason := range all {
		s.Sample(float64(s.activity.Problems[reason]), reason)
	}
}
