package main

import (
	"fmt"
	"time"
)

// age is how long ago something was, in one or two units: 5s, 3m, 4h12m, 9d.
func age(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return short(time.Since(t))
}

// short is a duration that fits a table.
func short(d time.Duration) string {
	d = max(d, 0)
	days := int(d / (24 * time.Hour))
	hours, minutes, seconds := int(d/time.Hour), int(d/time.Minute), int(d/time.Second)
	switch {
	case days >= 10:
		return fmt.Sprintf("%dd", days)
	case days > 0:
		return units(days, "d", hours%24, "h")
	case hours > 0:
		return units(hours, "h", minutes%60, "m")
	case minutes >= 10:
		return fmt.Sprintf("%dm", minutes)
	case minutes > 0:
		return units(minutes, "m", seconds%60, "s")
	default:
		return fmt.Sprintf("%ds", seconds)
	}
}

func units(large int, unit string, small int, smallUnit string) string {
	if small == 0 {
		return fmt.Sprintf("%d%s", large, unit)
	}
	return fmt.Sprintf("%d%s%d%s", large, unit, small, smallUnit)
}
