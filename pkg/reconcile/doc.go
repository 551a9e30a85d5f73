// Package reconcile decides: which manifests are in force (Admit), what to do about the difference between them and a
// node (Plan), and when (Agent). It knows manifests, instances, records and time; it refuses to know how a node does what it is asked.
//
// Admit and Plan are pure. Agent carries out the first action of a plan and looks again, one name at a time, so that there
// is never a script to resume:
//
//	sources --Snapshot--> Admit --Desired--> queue --name--> ObserveOne, Plan --first Action--> Node
//	                                           ^-- events, relist, wakes, retries -------------'
//
// A name's turn is a pass: it looks (pass.go), plans, acts (act.go) by the node's verbs (do.go), shows what it saw (show.go) and forgets what is gone
// (forget.go). A plan notes what it is shown (noterun.go, noteimage.go), judges the manifest (rollout.go) and takes the first rule that has a step (next.go):
// to run (run.go, restart.go, ladder.go, job.go), to end (retire.go, checkpointed.go, downplan.go), or to give what is new (configplan.go, driftplan.go).
package reconcile
