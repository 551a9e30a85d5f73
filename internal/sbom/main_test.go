package main

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
)

// The bill of this test's own binary has every module with the sum that go.sum has, and is the same twice.
func TestDescribe(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text, err := describe(self, "1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	again, err := describe(self, "1.2.3")
	if err != nil || !bytes.Equal(text, again) {
		t.Errorf("another bill the second time: %v", err)
	}
	var b bom
	if err := json.Unmarshal(text, &b); err != nil {
		t.Fatal(err)
	}
	if b.Format != "CycloneDX" || !regexp.MustCompile(`^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(b.Serial) {
		t.Errorf("%s, serial number %s", b.Format, b.Serial)
	}
	if b.Metadata.Component.Version != "1.2.3" {
		t.Errorf("version %s", b.Metadata.Component.Version)
	}
	if b.Components[0].Name != "stdlib" || !strings.HasPrefix(b.Components[0].PURL, "pkg:golang/stdlib@1.") {
		t.Errorf("no standard library: %+v", b.Components[0])
	}
	sums, err := os.ReadFile("../../go.sum")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range b.Components[1:] {
		if len(c.Properties) != 1 || !strings.Contains(string(sums), c.Name+" "+c.Version+" "+c.Properties[0].Value+"\n") {
			t.Errorf("go.sum has no %s %s %v", c.Name, c.Version, c.Properties)
		}
	}
	if _, err := describe("main.go", ""); err == nil {
		t.Error("a source file has a bill")
	}
}
