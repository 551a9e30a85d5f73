package spec

import (
	"slices"
	"strings"
	"unicode/utf8"

	yamltree "go.yaml.in/yaml/v3"
)

// Hints for what is found in more than one way.
const (
	aliasHint = "write the value out"
	tagHint   = "remove it; a text that looks like a number stands in quotes"
)

// unknownHint says what an unknown key of an object may have meant.
func unknownHint(f *Field, key string) string {
	tree := fieldTree()
	if f.apart {
		tree = f
	} else if hint, ok := foreignKeys[f.name+"."+key]; ok {
		return hint
	}
	if near := didYouMean(key, f.names()); near != "" {
		return near
	}
	if hint, ok := foreignKeys[key]; ok && !f.apart {
		return hint
	}
	here := f.Path + "." + key // in another kind of document
	if places := slices.DeleteFunc(tree.places(key), func(p string) bool { return p == here }); len(places) > 0 {
		return "did you mean " + strings.Join(places[:min(len(places), 3)], " or ") + "?"
	}
	return keysHint("the", f)
}

// keysHint lists the keys of an object.
func keysHint(whose string, f *Field) string {
	if len(f.Fields) == 1 {
		return whose + " only key is " + f.Fields[0].name
	}
	return whose + " keys are " + strings.Join(f.names(), ", ")
}

// requiredHint is what may be written, where there are words for it.
func requiredHint(f *Field) string {
	values := formats()[f.format].words
	switch {
	case len(values) == 0:
		return ""
	case len(values) == 1:
		return "write " + f.name + ": " + values[0]
	case len(values) > 4:
		return "such as " + strings.Join(values[:3], ", ")
	}
	return "it is one of " + strings.Join(values, ", ")
}

// listHint shows a text as the list that was meant: its words, or the options between commas.
func listHint(f *Field, n *yamltree.Node) string {
	if n.Kind != yamltree.ScalarNode || len(n.Value) > quotedLength {
		return ""
	}
	words := strings.Fields(n.Value)
	if f.format == optionFormat {
		words = strings.Split(n.Value, ",")
	}
	for i, word := range words {
		words[i] = quote(word)
	}
	return "write [" + strings.Join(words, ", ") + "]"
}

// didYouMean is a hint at the nearest of the candidates, "" when none is near.
func didYouMean(word string, candidates []string) string {
	if near := nearest(word, candidates); near != "" {
		return "did you mean " + near + "?"
	}
	return ""
}

// maxTypo bounds the words that are compared: longer ones are no typing errors.
const maxTypo = 48

// nearest is the candidate that differs least from a word: in case only, or in one letter of four; "" when none does.
func nearest(word string, candidates []string) string {
	if utf8.RuneCountInString(word) > maxTypo {
		return ""
	}
	best, least := "", 1+max(1, len(word)/4)
	for _, c := range candidates {
		if d := distance(strings.ToLower(word), strings.ToLower(c)); d < least {
			best, least = c, d
		}
	}
	return best
}

// distance is how many letters must be added, dropped, replaced or swapped with their neighbour to turn a into b.
func distance(a, b string) int {
	var older []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next := make([]int, len(b)+1)
		next[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			next[j] = min(row[j]+1, next[j-1]+1, row[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], older[j-2]+1)
			}
		}
		older, row = row, next
	}
	return row[len(b)]
}
