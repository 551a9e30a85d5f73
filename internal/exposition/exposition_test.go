package exposition

import "testing"

// What is wrong is found.
func TestParseCatches(t *testing.T) {
	const head = "# HELP a_total x\n# TYPE a_total counter\n"
	const spread = "# HELP h x\n# TYPE h histogram\n"
	if _, err := Parse(head + "a_total{name=\"a\\\\b\\\"c\"} 1\n" + spread + "h_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n"); err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{
		"no newline":     head + "a_total 1",
		"no help":        "# TYPE a_total counter\na_total 1\n",
		"no type":        "# HELP a_total x\na_total 1\n",
		"empty help":     "# HELP a_total \n# TYPE a_total counter\n",
		"twice":          head + "a_total 1\na_total 2\n",
		"family twice":   head + head,
		"foreign sample": head + "b_total 1\n",
		"counter's name": "# HELP a x\n# TYPE a counter\na 1\n",
		"gauge's name":   "# HELP a_total x\n# TYPE a_total gauge\n",
		"negative":       head + "a_total -1\n",
		"no number":      head + "a_total x\n",
		"label":          head + "a_total{name=a} 1\n",
		"escape":         head + "a_total{name=\"\\x\"} 1\n",
		"label twice":    head + "a_total{n=\"a\",n=\"b\"} 1\n",
		"buckets":        spread + "h_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 1\nh_sum 3\nh_count 1\n",
		"count":          spread + "h_bucket{le=\"+Inf\"} 1\nh_sum 3\nh_count 2\n",
		"no last bucket": spread + "h_bucket{le=\"1\"} 1\nh_sum 3\nh_count 1\n",
		"empty line":     head + "\na_total 1\n",
	} {
		if _, err := Parse(text); err == nil {
			t.Errorf("%s: taken", what)
		}
	}
}
