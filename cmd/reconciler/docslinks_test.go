package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	docLink    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	docHeading = regexp.MustCompile(`(?m)^#{1,6} +(.*)$`)
	docFence   = regexp.MustCompile("(?ms)^ *```.*?^ *```$")
	docCode    = regexp.MustCompile("`[^`\n]+`")
)

// TestDocLinks holds each relative link of each page in the repository to a file that is there, and its #anchor to a heading of it.
func TestDocLinks(t *testing.T) {
	list, err := exec.Command("git", "-C", "../..", "ls-files", "--cached", "--others", "--exclude-standard", "*.md", ":!internal").Output()
	if err != nil {
		t.Skipf("skip: no git checkout: %v", err)
	}
	anchors := map[string][]string{}
	for path := range strings.FieldsSeq(string(list)) {
		if text, err := os.ReadFile("../../" + path); err == nil {
			anchors[path] = anchorsOf(string(text))
		}
	}
	if len(anchors) < 40 {
		t.Fatalf("only %d pages", len(anchors))
	}
	for path := range anchors {
		text, _ := os.ReadFile("../../" + path)
		plain := docCode.ReplaceAllString(docFence.ReplaceAllString(string(text), ""), "")
		for _, found := range docLink.FindAllStringSubmatch(plain, -1) {
			target, anchor, _ := strings.Cut(found[1], "#")
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			at := path
			if target != "" {
				at = filepath.Join(filepath.Dir(path), target)
			}
			if _, err := os.Stat("../../" + at); err != nil {
				t.Errorf("%s: the link %s leads nowhere", path, found[1])
			} else if anchor != "" && !slices.Contains(anchors[at], anchor) {
				t.Errorf("%s: %s has no heading for the link %s", path, at, found[1])
			}
		}
	}
}

// anchorsOf are the names that headings get, as on GitHub and in the site.
func anchorsOf(text string) (names []string) {
	for _, heading := range docHeading.FindAllStringSubmatch(docFence.ReplaceAllString(text, ""), -1) {
		name := strings.ToLower(docLink.ReplaceAllString(heading[1], "]"))
		name = regexp.MustCompile(`[^\w\s-]`).ReplaceAllString(name, "")
		names = append(names, strings.ReplaceAll(strings.TrimSpace(name), " ", "-"))
	}
	return names
}

// TestNavigation holds docs/index.md and mkdocs.yml to the pages there are.
func TestNavigation(t *testing.T) {
	index, err := os.ReadFile("../../docs/index.md")
	must(t, err)
	site, err := os.ReadFile("../../mkdocs.yml")
	must(t, err)
	for _, page := range docPages(t) {
		path, ok := strings.CutPrefix(page.path, "docs/")
		if !ok {
			continue
		}
		if path != "index.md" && !strings.Contains(string(index), "]("+path+")") {
			t.Errorf("docs/index.md does not link %s", path)
		}
		if !regexp.MustCompile(`(?m)[ :-] ` + regexp.QuoteMeta(path) + `$`).Match(site) {
			t.Errorf("%s is not in the nav of mkdocs.yml", path)
		}
	}
}
