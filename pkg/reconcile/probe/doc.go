// Package probe finds out how healthy containers are: Check asks once, State draws conclusions from what was answered, and Prober asks all
// the questions of a node in time. It knows probes, connections and time; it refuses to know what comes of an answer, kernels and records.
//
//	                 startup succeeds                     liveness fails failureThreshold times
//	Starting ────────────────────────────> Started, Live ──────────────────────────────────────> not Live
//	    │            (at once without one)      │    ^ <──────────────────────────────────────── (succeeds once)
//	    │ startup fails                         │    │
//	    v failureThreshold times      readiness │    │ readiness fails failureThreshold times,
//	not Live                           succeeds v    │ or nobody knows yet
//	                                          Ready, not Ready
package probe
