package meter_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/meter"
	"github.com/seed31d4122e/reconciler/pkg/metric"
)

// The dashboard, the alert rules and what is said about them name what there is, with the labels that it has.

const packaging = "../../packaging"

// families are all there are, by name, with those that a histogram is made of.
func families(t *testing.T) map[string]metric.Family {
	t.Helper()
	all := map[string]metric.Family{}
	for _, f := range meter.NewHandler(meter.Config{Meter: meter.New(), Agent: nobody{}, Node: nobody{}}).Scrape(t.Context()).Families {
		if f.Type != metric.Histogram {
			all[f.Name] = f
			continue
		}
		for _, suffix := range []string{"_sum", "_count"} {
			all[f.Name+suffix] = f
		}
		f.Labels = append(slices.Clone(f.Labels), "le")
		all[f.Name+"_bucket"] = f
	}
	return all
}

var (
	namedMetric = regexp.MustCompile(`\b((?:reconciler|process|go)_[a-z0-9_]+)(?:\{([^}]*)\})?`)
	namedLabel  = regexp.MustCompile(`([a-z_]+)\s*[=!]`)
	grouped     = regexp.MustCompile(`by \(([^)]*)\)`)
)

// outside are labels that Prometheus adds.
var outside = []string{"instance", "job"}

// checkExpr holds an expression to what there is.
func checkExpr(t *testing.T, where, expr string) {
	t.Helper()
	known := families(t)
	var labels []string
	found := namedMetric.FindAllStringSubmatch(expr, -1)
	for _, m := range found {
		f, ok := known[m[1]]
		if !ok {
			t.Errorf("%s names %s, which does not exist: %s", where, m[1], expr)
		}
		labels = append(labels, f.Labels...)
		for _, l := range namedLabel.FindAllStringSubmatch(m[2], -1) {
			if !slices.Contains(append(f.Labels, outside...), l[1]) {
				t.Errorf("%s: %s has no label %s", where, m[1], l[1])
			}
		}
	}
	for _, m := range grouped.FindAllStringSubmatch(expr, -1) {
		for label := range strings.SplitSeq(m[1], ",") {
			if label = strings.TrimSpace(label); !slices.Contains(append(labels, outside...), label) {
				t.Errorf("%s: nothing has the label %s: %s", where, label, expr)
			}
		}
	}
}

func TestDashboard(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(packaging, "grafana", "reconciler.json"))
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			ID      int
			Type    string
			Title   string
			Targets []struct{ Expr string }
		}
		Templating struct{ List []struct{ Query any } }
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, p := range dashboard.Panels {
		if seen[p.ID] || p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %q has an id that another has, or nothing to show", p.Title)
		}
		seen[p.ID] = true
		for _, target := range p.Targets {
			if !namedMetric.MatchString(target.Expr) {
				t.Errorf("panel %q asks for nothing: %s", p.Title, target.Expr)
			}
			checkExpr(t, "panel "+p.Title, target.Expr)
			checkBrackets(t, target.Expr)
		}
	}
	for _, v := range dashboard.Templating.List {
		if query, ok := v.Query.(map[string]any); ok {
			checkExpr(t, "a variable", query["query"].(string))
		}
	}
}

// checkBrackets finds what was cut off: Grafana's expressions have variables, so that promtool cannot read them.
func checkBrackets(t *testing.T, expr string) {
	t.Helper()
	for _, pair := range []string{"()", "{}", "[]"} {
		if strings.Count(expr, pair[:1]) != strings.Count(expr, pair[1:]) {
			t.Errorf("brackets of %s", expr)
		}
	}
}

var (
	ruleExpr  = regexp.MustCompile(`(?m)^ +expr: (.*)$`)
	alertName = regexp.MustCompile(`(?m)^ +- alert: (\S+)$`)
)

func TestAlerts(t *testing.T) {
	dir := filepath.Join(packaging, "prometheus")
	rules, err := os.ReadFile(filepath.Join(dir, "alerts.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile(filepath.Join(dir, "alerts_test.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range ruleExpr.FindAllStringSubmatch(string(rules), -1) {
		checkExpr(t, "a rule", m[1])
	}
	alerts := alertName.FindAllStringSubmatch(string(rules), -1)
	for _, m := range alerts {
		if !strings.Contains(string(tests), `"`+m[1]+`"`) {
			t.Errorf("%s is not tested", m[1])
		}
		if !strings.Contains(string(page), "`"+m[1]+"`") {
			t.Errorf("docs/metrics.md says nothing of %s", m[1])
		}
	}
	if len(alerts) == 0 {
		t.Error("no alerts")
	}
	kerneltest.Promtool(t, "", "check", "rules", filepath.Join(dir, "alerts.yaml"))
	kerneltest.Promtool(t, "", "test", "rules", filepath.Join(dir, "alerts_test.yaml"))
	kerneltest.Promtool(t, "", "check", "config", filepath.Join(dir, "scrape.yaml"))
}
