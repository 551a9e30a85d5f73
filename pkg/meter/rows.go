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

// one writes a family with one figure.
func (s *scrape) one(name string, t metric.Type, help string, v float64) {
	s.Begin(name, t, help)
	s.Sample(v)
}

// spread writes a histogram.
func (s *scrape) spread(name, help string, of *metric.Spread) {
	s.Begin(name, metric.Histogram, help)
	s.Spread(of)
}

// counts writes counts by their labels.
func (s *scrape) counts(name, help string, of *metric.Counts, labels ...string) {
	s.Begin(name, counter, help, labels...)
	s.Counts(of)
}

const (
	counter = metric.Counter
	gauge   = metric.Gauge
)

// write writes all families but those of single containers.
func (s *scrape) write() {
	s.Begin("reconciler_build_info", gauge, "The version of the agent; always 1.", "version", "revision", "goversion")
	s.Sample(1, s.Version, s.Revision, runtime.Version())
	s.writeContainers()
	s.writeLoop()
	s.writeIntake()
	s.writeNode()
	s.writeJournal()
	s.writeProcesses()
	s.one("reconciler_scrape_stats_seconds", gauge, "How long this scrape took to read the statistics of containers.", s.spent.Seconds())
	s.one("reconciler_scrape_stats_failures_total", counter, "Statistics of containers that could not be read.", s.Meter.lost.Value())
	s.one("reconciler_metrics_own_containers", gauge, "Containers that have figures of their own.", float64(s.alone))
	s.one("reconciler_metrics_aggregated_containers", gauge, `Containers beyond run --metrics-containers, whose figures are added up under the name "`+Others+`".`, float64(s.together))
}

// writeContainers counts containers.
func (s *scrape) writeContainers() {
	var active, drifted float64
	phase, condition := map[spec.Phase]float64{}, map[[2]string]float64{}
	for i := range s.objects {
		status := &s.objects[i].Status
		phase[status.Phase]++
		active += oneIf(status.Container.Pid != 0)
		for _, c := range status.Conditions {
			condition[[2]string{string(c.Type), string(c.Status)}]++
			// What was put back still shows in the condition.
			drifted += oneIf(c.Type == spec.ConditionDrifted && c.Status == spec.True && c.Reason == reconcile.ReasonDifferent)
		}
	}
	s.Begin("reconciler_containers", gauge, "Containers by phase.", "phase")
	for _, p := range phases {
		s.Sample(phase[p], string(p))
	}
	s.Begin("reconciler_containers_condition", gauge, "Containers by condition and what it says.", "condition", "status")
	for _, c := range conditions {
		for _, status := range []spec.ConditionStatus{spec.True, spec.False, spec.Unknown} {
			s.Sample(condition[[2]string{string(c), string(status)}], string(c), string(status))
		}
	}
	s.one("reconciler_desired_containers", gauge, "Containers that a manifest or a record wants.", float64(s.activity.Desired))
	s.one("reconciler_active_containers", gauge, "Containers with a process.", active)
	s.one("reconciler_working_containers", gauge, "Containers that a worker is at now.", float64(len(s.activity.Working)))
	s.one("reconciler_orphaned_containers", gauge, "Containers that no manifest explains: nothing is done about them.", float64(s.activity.Orphaned))
	s.one("reconciler_drifted_containers", gauge, "Containers of which something differs that is not put back.", drifted)
}

// writeLoop says how the loop works.
func (s *scrape) writeLoop() {
	m := s.Meter
	s.counts("reconciler_passes_total", "Passes of the loop by what came of them.", &m.passes, "outcome")
	s.spread("reconciler_pass_duration_seconds", "How long a pass took, actions included.", m.pass)
	oldest := time.Duration(0)
	if len(s.activity.Working) > 0 {
		oldest = max(0, time.Since(s.activity.Working[0].Since))
	}
	s.one("reconciler_pass_oldest_seconds", gauge, "How long the oldest pass under way has been going on; 0 when there is none.", oldest.Seconds())
	s.counts("reconciler_actions_total", "Actions tried, by verb and result, with images taken by hand.", &m.actions, "action", "result")
	s.Begin("reconciler_action_duration_seconds", metric.Histogram, "How long an action took, by verb: those that have been tried.", "action")
	for _, verb := range reconcile.Verbs() {
		if d := m.action[verb]; !d.Empty() {
			s.Spread(d, verb)
		}
	}
	s.one("reconciler_workers", gauge, "How many passes may be under way at one time.", float64(s.activity.Workers))
	s.one("reconciler_queue_depth", gauge, "Containers that are due and wait for a worker.", float64(len(s.activity.Ready)))
	s.one("reconciler_queue_waking", gauge, "Containers that will be due at a time of their own.", float64(s.activity.Waking))
	s.spread("reconciler_queue_latency_seconds", "How long a container was due before a worker took it.", m.wait)
	s.spread("reconciler_converge_duration_seconds", "From the scan that brought a manifest until its container was ready with nothing left to do.", m.converged)
	s.counts("reconciler_warnings_total", "Events that are warnings, by reason.", &m.warnings, "reason")
}

// writeIntake says how manifests are read.
func (s *scrape) writeIntake() {
	s.Begin("reconciler_manifest_errors", gauge, "What is wrong with manifests now, by reason.", "reason")
	for _, reason := range s.reasons() {
		s.Sample(float64(s.activity.Problems[reason]), reason)
	}
	s.one("reconciler_prune_blocked_containers", gauge, "Containers whose removal waits for a confirmation.", float64(s.activity.Blocked))
	s.Begin("reconciler_source_up", gauge, "Whether the latest scan of a source read all of it.", "source")
	for _, source := range s.activity.Sources {
		s.Sample(oneIf(source.OK), source.Name)
	}
	s.Begin("reconciler_source_last_success_timestamp_seconds", gauge, "When a source was last read completely; 0 for never.", "source")
	for _, source := range s.activity.Sources {
		s.Sample(seconds(source.Read), source.Name)
	}
	s.Begin("reconciler_source_revision_info", gauge, "What is in force of a source: its writer's revision, else a hash; always 1.", "source", "revision")
	for _, source := range s.activity.Sources {
		s.Sample(1, source.Name, source.Revision)
	}
}

// writeNode says how the node is looked at, and what is done to it.
func (s *scrape) writeNode() {
	m := s.Meter
	s.spread("reconciler_relist_duration_seconds", "How long a look at the whole node took.", m.relist)
	s.counts("reconciler_relists_total", "Looks at the whole node.", &m.relists, "result")
	s.one("reconciler_relist_last_success_timestamp_seconds", gauge, "When the whole node was last looked at; 0 for never.", seconds(s.activity.Relisted))
	s.one("reconciler_relist_missed_changes_total", counter, "Changes that a look at the whole node found and no event had told of.", m.missed.Value())
	s.counts("reconciler_drift_corrections_total", "Repairs of what others changed behind the agent's back, by field.", &m.drifts, "field")
	s.spread("reconciler_checkpoint_duration_seconds", "How long taking an image took.", m.action[reconcile.VerbCheckpoint])
	s.spread("reconciler_checkpoint_frozen_seconds", "How long a container stood still for an image.", m.frozen)
	s.spread("reconciler_checkpoint_size_bytes", "What an image takes on disk.", m.size)
	s.spread("reconciler_restore_duration_seconds", "How long the begin of a run from an image took.", m.action[reconcile.VerbRestore])
}

// writeJournal says what became of output.
func (s *scrape) writeJournal() {
	dropped := int64(0)
	if s.Journal != nil {
		dropped = s.Journal.Dropped()
	}
	s.one("reconciler_journal_dropped_bytes_total", counter, "Output of containers that did not reach the journal, because they wrote faster than it takes.", float64(dropped))
}

// writeProcesses says what agent and keeper take.
func (s *scrape) writeProcesses() {
	s.counts("reconciler_api_requests_total", "Requests of the API by the caller's role and the status of the answer.", &s.Meter.requests, "role", "code")
	s.spread("reconciler_api_request_duration_seconds", "How long it took until the answer to a request of the API began.", s.Meter.request)
	k, a := s.keeper, s.agent
	s.one("reconciler_keeper_up", gauge, "Whether the keeper answers.", oneIf(k.Pid != 0))
	s.one("reconciler_keeper_answer_seconds", gauge, "How long the keeper took to answer this scrape.", s.answered.Seconds())
	s.one("reconciler_keeper_cpu_seconds_total", counter, "Processor time of the keeper.", usec(k.CPUUsec))
	s.one("reconciler_keeper_resident_memory_bytes", gauge, "Resident memory of the keeper.", float64(k.RSS))
	s.one("reconciler_keeper_open_fds", gauge, "Open descriptors of the keeper.", float64(k.descriptors))
	s.one("reconciler_keeper_dropped_bytes_total", counter, "Output of containers that could not be written to --log-dir since the keeper began, which is a full or broken disk.", float64(s.dropped))
	s.one("reconciler_keeper_start_time_seconds", gauge, "When the keeper started.", seconds(k.StartedAt))
	s.one("process_cpu_seconds_total", counter, "Processor time of the agent.", usec(a.CPUUsec))
	s.one("process_resident_memory_bytes", gauge, "Resident memory of the agent.", float64(a.RSS))
	s.one("process_open_fds", gauge, "Open descriptors of the agent.", float64(a.descriptors))
	s.one("process_start_time_seconds", gauge, "When the agent started.", seconds(a.StartedAt))
	s.one("process_threads", gauge, "Threads of the agent.", float64(a.Threads))
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory) // stops the agent for some microseconds
	s.one("go_goroutines", gauge, "Goroutines of the agent.", float64(runtime.NumGoroutine()))
	s.one("go_memstats_heap_alloc_bytes", gauge, "Memory of the agent's objects.", float64(memory.HeapAlloc))
	s.one("go_memstats_sys_bytes", gauge, "Memory that the Go runtime of the agent has from the system.", float64(memory.Sys))
	s.one("go_gc_cycles_total", counter, "Garbage collections of the agent.", float64(memory.NumGC))
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

// phases and conditions are all there are: those that no container is in have figures as well.
var (
	phases = []spec.Phase{
		spec.PhasePending, spec.PhaseStarting, spec.PhaseRunning, spec.PhasePaused, spec.PhaseStopped, spec.PhaseCheckpointed, spec.PhaseCompleted, spec.PhaseBackOff,
		spec.PhaseFailed, spec.PhaseTerminating,
	}
	conditions = []spec.ConditionType{
		spec.ConditionReady, spec.ConditionReconciling, spec.ConditionStalled, spec.ConditionAccepted, spec.ConditionDrifted, spec.ConditionOutdated, spec.ConditionSuspended,
		spec.ConditionRolledBack, spec.ConditionCheckpointed, spec.ConditionRestored,
	}
)

// reasons are why manifests are refused, and those why they may be, so that a first one is seen as a change.
func (s *scrape) reasons() []string {
	all := []string{
		reconcile.ReasonInvalid, reconcile.ReasonDuplicateName, reconcile.ReasonDependencyCycle, reconcile.ReasonPolicyDenied, reconcile.ReasonSignatureInvalid,
		reconcile.ReasonSourceUnavailable,
	}
	for reason := range s.activity.Problems {
		if !slices.Contains(all, reason) {
			all = append(all, reason)
		}
	}
	sort.Strings(all)
	return all
}
