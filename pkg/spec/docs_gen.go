package spec

var docs = map[string]string{}
