package main

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/api"
)

// node is a piece of the document.
type node = map[string]any

const (
	typeJSON  = "application/json"
	typeLines = "application/jsonl"
)

const intro = "The interface of a reconciler agent on its unix socket, /run/reconciler/reconciler.sock. Who may do what is decided by who has connected, " +
	"and each operation says in x-role what it needs: read, operate or admin. Every answer has a Request-Id. " +
	"Within v1, fields, operations and words may be added and none taken away or changed: ignore what you do not know. Bodies of requests are strict."

// generate makes the document; root is the repository.
func generate(root string) (node, error) {
	schemas, err := newSchemas(root)
	if err != nil {
		return nil, err
	}
	paths := node{}
	for _, route := range api.Routes() {
		path, _ := paths[route.Path].(node)
		if path == nil {
			path = node{}
			if words := pathParameters(route); words != nil {
				path["parameters"] = words
			}
			paths[route.Path] = path
		}
		path[strings.ToLower(route.Method)] = operation(schemas, route)
	}
	schemas.of(api.Failure{})
	return node{
		"openapi": "3.1.0",
		"info":    node{"title": "reconciler", "version": api.APIVersion, "description": intro},
		"servers": []node{{"url": "http://localhost", "description": "over the unix socket: any word without a dot will do for the host"}},
		"paths":   paths,
		"components": node{
			"schemas": schemas.components,
			"headers": node{"Request-Id": node{"description": "Names the request, in the audit log as well.", "schema": node{"type": "string"}}},
		},
	}, schemas.err
}

func operation(s *schemas, r api.Route) node {
	op := node{"operationId": r.ID, "summary": r.Text, "x-role": r.Role.String(), "responses": responses(s, r)}
	if r.Query != nil {
		var list []node
		for _, p := range r.Query {
			list = append(list, node{"name": p.Name, "in": "query", "description": p.Text, "schema": parameterSchema(p)})
		}
		op["parameters"] = list
	}
	switch {
	case r.Archive:
		op["requestBody"] = node{"required": true, "content": node{"application/octet-stream": node{}}}
	case r.Body != nil:
		op["requestBody"] = node{"content": node{typeJSON: node{"schema": s.of(r.Body)}}}
	}
	return op
}

// pathWords are what stands in paths.
var pathWords = map[string]string{"name": "The name of a container.", "id": "The image's own part of NAME/ID."}

func pathParameters(r api.Route) (list []node) {
	for _, word := range r.Words() {
		list = append(list, node{"name": word, "in": "path", "required": true, "description": pathWords[word], "schema": node{"type": "string"}})
	}
	return list
}

func parameterSchema(p api.Parameter) node {
	switch p.Format {
	case "switch":
		return node{"type": "string", "enum": []string{"1"}}
	case "number":
		return node{"type": "integer", "minimum": 0}
	case "time":
		return node{"type": "string", "format": "date-time"}
	case "duration":
		return node{"type": "string", "examples": []string{"500ms"}}
	case "many":
		return node{"type": "array", "items": node{"type": "string"}}
	}
	n := node{"type": "string"}
	if p.Values != nil {
		n["enum"] = p.Values
	}
	return n
}

func responses(s *schemas, r api.Route) node {
	all := node{}
	content := node{}
	if r.Answer != nil {
		content[typeJSON] = node{"schema": s.of(r.Answer)}
	}
	if r.Line != nil {
		content[typeLines] = node{"schema": node{
			"description": "Each line; one with an error is the last.", "anyOf": []node{s.of(r.Line), s.of(api.Failure{})},
		}}
	}
	for _, t := range r.Types {
		content[t] = node{}
	}
	if len(content) > 0 {
		all["200"] = response("What was asked for.", content)
	}
	if r.Session {
		all["101"] = response("The connection is a session from here on: frames of the protocol "+api.SessionProtocol+", see docs/api.md.", nil)
	}
	for status, reasons := range failures(r) {
		failure := response(strings.Join(reasons, ", ")+".", node{typeJSON: node{"schema": s.of(api.Failure{})}})
		failure["x-reasons"] = reasons
		all[strconv.Itoa(status)] = failure
	}
	return all
}

func response(text string, content node) node {
	n := node{"description": text, "headers": node{"Request-Id": node{"$ref": "#/components/headers/Request-Id"}}}
	if content != nil {
		n["content"] = content
	}
	return n
}

// failures are the reasons of a route by status.
func failures(r api.Route) map[int][]string {
	all := map[int][]string{}
	for _, reason := range append(api.CommonErrors(), r.Errors...) {
		status := reason.Status()
		if http.StatusText(status) == "" {
			panic(fmt.Sprintf("genapi: %s has no reason %q", r.ID, reason))
		}
		if !slices.Contains(all[status], string(reason)) {
			all[status] = append(all[status], string(reason))
		}
	}
	return all
}
