package api

import (
	"encoding/json"
	"fmt"
	"sync"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// maxEncoded bounds the objects that are kept as JSON, in bytes: those of some thousand containers.
const maxEncoded = 4 << 20

// encoded keeps objects as JSON, so that a change is encoded once and not for each of a hundred watchers. A resource version is one
// object, whatever happens to it afterwards.
type encoded struct {
	mu        sync.Mutex
	byVersion map[uint64]json.RawMessage
	order     []uint64 // oldest first
	bytes     int
}

// of is an object as JSON.
func (e *encoded) of(o spec.Object) (json.RawMessage, error) {
	version := o.Metadata.ResourceVersion
	if version == 0 {
		return json.Marshal(o)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if text, ok := e.byVersion[version]; ok {
		return text, nil
	}
	text, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	for e.bytes += len(text); e.bytes > maxEncoded && len(e.order) > 0; e.order = e.order[1:] {
		e.bytes -= len(e.byVersion[e.order[0]])
		delete(e.byVersion, e.order[0])
	}
	e.byVersion[version] = text
	e.order = append(e.order, version)
	return text, nil
}

// change is a line of a watch.
func (e *encoded) change(c Change) ([]byte, error) {
	object, err := e.of(c.Object)
	if err != nil {
		return nil, err
	}
	line := make([]byte, 0, len(object)+64)
	line = append(line, `{"type":"`...)
	line = append(line, c.Type...)
	line = append(line, `","object":`...)
	line = append(line, object...)
	if c.Agent != "" {
		line = fmt.Appendf(line, `,"agent":%q`, c.Agent)
	}
	return append(line, "}\n"...), nil
}

// ready is JSON that is sent as it is.
type ready []byte

// list is a List.
func (e *encoded) list(objects []spec.Object, m ListMetadata) (ready, error) {
	text, err := json.Marshal(List{APIVersion: spec.APIVersion, Kind: KindList, Metadata: m, Items: []spec.Object{}})
	if err != nil {
		return nil, err
	}
	text = text[:len(text)-len("]}")]
	for i, o := range objects {
		object, err := e.of(o)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			text = append(text, ',')
		}
		text = append(text, object...)
	}
	return append(text, "]}\n"...), nil
}
