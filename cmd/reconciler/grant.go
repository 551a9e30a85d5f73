package main

import (
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/api"
)

// grantList is the flag --grant.
type grantList []string

func (g *grantList) String() string { return strings.Join(*g, ", ") }

// Type is that of a list of texts.
func (g *grantList) Type() string { return "stringArray" }

// Set adds one, as the flag may be repeated.
func (g *grantList) Set(text string) error { return g.Append(text) }

// Append adds one, of whose name nothing has to be known yet: a group that is gone must not keep an agent from its containers.
func (g *grantList) Append(text string) error {
	if err := api.CheckGrant(text); err != nil {
		return err
	}
	*g = append(*g, text)
	return nil
}

// Replace takes others for all.
func (g *grantList) Replace(texts []string) error {
	*g = nil
	for _, text := range texts {
		if err := g.Append(text); err != nil {
			return err
		}
	}
	return nil
}

// GetSlice are all.
func (g *grantList) GetSlice() []string { return *g }
