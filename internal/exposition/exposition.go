// Package exposition reads the text format of Prometheus, version 0.0.4, more strictly than Prometheus does: for tests of what is written. It knows the format
// (https://prometheus.io/docs/instrumenting/exposition_formats/), and nothing of what is measured.
package exposition

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Family is what is said of one name.
type Family struct {
	Name, Help, Type string
	Samples          []Sample
}

// Sample is one line.
type Sample struct {
	Name   string // the family's, or that with _bucket, _sum or _count
	Labels map[string]string
	Value  float64
}

var (
	metricName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`) // the format allows more, the conventions do not
	labelName  = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	helpLine   = regexp.MustCompile(`^# HELP (\S+) (\S.*)$`)
	typeLine   = regexp.MustCompile(`^# TYPE (\S+) (counter|gauge|histogram)$`)
	sampleLine = regexp.MustCompile(`^([^{ ]+)(?:\{(.*)\})? (\S+)$`)
	label      = regexp.MustCompile(`^([^=]+)="((?:[^"\\]|\\["\\n])*)"(?:,|$)`)
)

// Parse reads a text; the error names the first line that is wrong. Each family has HELP, TYPE and then its samples, all together, each once.
func Parse(text string) (map[string]Family, error) {
	p := parser{families: map[string]Family{}, series: map[string]bool{}}
	if !strings.HasSuffix(text, "\n") {
		return nil, fmt.Errorf("the text does not end with a newline")
	}
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if err := p.line(line); err != nil {
			return nil, fmt.Errorf("line %d, %q: %w", i+1, line, err)
		}
	}
	p.close()
	for _, f := range p.families {
		if err := f.check(); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	return p.families, nil
}

type parser struct {
	families map[string]Family
	series   map[string]bool
	open     Family
}

func (p *parser) close() {
	if p.open.Name != "" {
		p.families[p.open.Name] = p.open
	}
	p.open = Family{}
}

func (p *parser) line(line string) error {
	switch help, is, sample := helpLine.FindStringSubmatch(line), typeLine.FindStringSubmatch(line), sampleLine.FindStringSubmatch(line); {
	case help != nil:
		p.close()
		if _, twice := p.families[help[1]]; twice || !metricName.MatchString(help[1]) {
			return fmt.Errorf("no name of a new family")
		}
		p.open = Family{Name: help[1], Help: help[2]}
	case is != nil:
		if p.open.Name != is[1] || p.open.Type != "" {
			return fmt.Errorf("no TYPE right after its HELP")
		}
		p.open.Type = is[2]
	case sample != nil && !strings.HasPrefix(line, "#"):
		return p.sample(sample[1], sample[2], sample[3])
	default:
		return fmt.Errorf("no line of the format")
	}
	return nil
}

func (p *parser) sample(name, labels, value string) error {
	s := Sample{Name: name, Labels: map[string]string{}}
	suffix, of := strings.CutPrefix(name, p.open.Name)
	if histogram := suffix == "_bucket" || suffix == "_sum" || suffix == "_count"; p.open.Type == "" || !of || (p.open.Type == "histogram") != histogram || !histogram && suffix != "" {
		return fmt.Errorf("not of the family %s", p.open.Name)
	}
	for labels != "" {
		m := label.FindStringSubmatch(labels)
		if m == nil || !labelName.MatchString(m[1]) {
			return fmt.Errorf("no label at %q", labels)
		}
		if _, twice := s.Labels[m[1]]; twice {
			return fmt.Errorf("label %s twice", m[1])
		}
		s.Labels[m[1]] = strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\"`, `"`).Replace(m[2])
		labels = labels[len(m[0]):]
	}
	var err error
	if s.Value, err = strconv.ParseFloat(value, 64); err != nil {
		return err
	}
	series := name + fmt.Sprint(s.Labels) // maps are printed in order
	if p.series[series] {
		return fmt.Errorf("the series is there twice")
	}
	p.series[series] = true
	p.open.Samples = append(p.open.Samples, s)
	return nil
}

// check holds a family to the conventions, and histograms to what they mean.
func (f Family) check() error {
	if f.Help == "" || f.Type == "" {
		return fmt.Errorf("no HELP or no TYPE")
	}
	if (f.Type == "counter") != strings.HasSuffix(f.Name, "_total") {
		return fmt.Errorf("counters, and they alone, end in _total")
	}
	last, of := map[string]float64{}, map[string]bool{}
	for _, s := range f.Samples {
		bound := s.Labels["le"]
		delete(s.Labels, "le")
		key := fmt.Sprint(s.Labels)
		switch {
		case f.Type == "counter" && !(s.Value >= 0):
			return fmt.Errorf("a counter of %v", s.Value)
		case f.Type != "histogram":
		case strings.HasSuffix(s.Name, "_bucket"):
			if s.Value < last[key] {
				return fmt.Errorf("bucket %s of %s is smaller than the one before", bound, key)
			}
			last[key], of[key] = s.Value, bound == "+Inf"
		case strings.HasSuffix(s.Name, "_count") && (s.Value != last[key] || !of[key]):
			return fmt.Errorf("%s counts %v, and its last bucket %v", key, s.Value, last[key])
		}
		if bound != "" {
			s.Labels["le"] = bound
		}
	}
	return nil
}

// Value is the value of the sample of a family with these labels, name and value in turn; false for none.
func (f Family) Value(labels ...string) (float64, bool) {
	for _, s := range f.Samples {
		fits := s.Name == f.Name || strings.HasSuffix(s.Name, "_count")
		for i := 0; i < len(labels); i += 2 {
			fits = fits && s.Labels[labels[i]] == labels[i+1]
		}
		if fits {
			return s.Value, true
		}
	}
	return 0, false
}
