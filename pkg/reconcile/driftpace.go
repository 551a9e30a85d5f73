package reconcile

import "time"

// pace says when deep looks come. Who is due soon is looked at with who is due now, and whenever the agent is at work on all of the node: to wake up costs a
// process more than a look, as its runtime's threads wake up with it. After a round nobody is looked at for
// so long that all looks together take one part in share of the time; who is hurried waits only as long as one look is worth.
type pace struct {
	every time.Duration // Config.DeepLook
	rest  time.Time     // before it comes only who is hurried
	brief time.Time     // before it comes nobody
}

// gatherings is how many rounds there are about in the interval. With the defaults one is as long as Config.Relist.
const gatherings = 6

// ahead is how much earlier than it is due a look may come.
func (p pace) ahead() time.Duration { return p.every / gatherings }

// at is when a look comes that nobody is taken along with.
func (p pace) at(due time.Time, hurried bool) time.Time {
	wait := p.rest
	if hurried {
		wait = p.brief
	}
	if due.Before(wait) {
		return wait
	}
	return due
}

// takes tells whether a look is one of a round that begins now.
func (p pace) takes(due time.Time, hurried bool, now time.Time) bool {
	if !hurried {
		due = due.Add(-p.ahead())
	}
	return !p.at(due, hurried).After(now)
}

// ends tells whether a round that began then has taken its time: what looks may take until the next. One of those who are hurried is one look.
func (p pace) ends(began, now time.Time) bool {
	return began.Before(p.rest) || now.Sub(began) >= p.ahead()/share
}

// note notes that a round took from then until now.
func (p *pace) note(began, now time.Time, looks int) {
	if p.rest.Before(began) {
		p.rest = began
	}
	took := now.Sub(began)
	p.rest = earlier(p.rest.Add(share*took), now.Add(p.every))
	p.brief = earlier(now.Add(share*took/time.Duration(max(looks, 1))), p.rest)
}
