// Package web looks at the local web page with a real browser, at a real agent with real containers: what is to be seen is seen, nothing comes from
// elsewhere, and nothing that a container says does anything. It knows the page by what a person finds on it.
package web
