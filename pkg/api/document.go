package api

import (
	"bytes"
	_ "embed" // of the document
	"encoding/json"
	"net/http"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// packed is the OpenAPI document of Routes without the schema of a container's spec, which the binary has already; internal/genapi writes it.
//
//go:embed openapi.json.zst
var packed []byte

// DocumentGap is where the schema of a container's spec goes.
const DocumentGap = `"ContainerSpec":null`

// Document is the OpenAPI 3.1 document of this interface, JSON without blanks.
func Document() ([]byte, error) {
	unpack, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer unpack.Close()
	text, err := unpack.DecodeAll(packed, nil)
	if err != nil {
		return nil, err
	}
	var manifest struct {
		Defs struct {
			Spec json.RawMessage `json:"containerSpec"`
		} `json:"$defs"`
	}
	if err := json.Unmarshal(spec.Schema(), &manifest); err != nil {
		return nil, err
	}
	schema := bytes.NewBufferString(DocumentGap[:len(DocumentGap)-len("null")])
	if err := json.Compact(schema, manifest.Defs.Spec); err != nil {
		return nil, err
	}
	return bytes.Replace(text, []byte(DocumentGap), schema.Bytes(), 1), nil
}

func serveDocument(w http.ResponseWriter, _ *http.Request) {
	text, err := Document()
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
	if err != nil {
		writeError(w, err)
		return
	}
	w.Header().Set("Content-Type", contentJSON)
	_, _ = w.Write(text)
}
