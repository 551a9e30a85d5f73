// Package reconcile decides: which manifests are in force (Admit), what to do about the difference between them and a
// node (Plan), and when (Agent). It knows manifests, instances, records and time; it refuses to know how a node does what it is asked.
//
// Admit and Plan are pure. Agent carries out the first action of a plan and looks again, one name at a time, so that there
// is never a script to resume:
//
//	sources --Snapshot--> Admit --Desired--> queue --name--> ObserveOne, Plan --first Action--> Node
//	                                           ^-- events, relist, wakes, retries -------------'
package reconcile
