package probe

import (
	"encoding/binary"
	"errors"
	"strconv"
)

// servingStatuses are HealthCheckResponse.ServingStatus; the second is health.
var servingStatuses = []string{"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"}

const serving = 1

// healthRequest is a HealthCheckRequest with the length that gRPC puts before a message: not compressed, and four bytes.
func healthRequest(service string) []byte {
	var message []byte
	if service != "" {
		message = binary.AppendUvarint(append(message, 1<<3|2), uint64(len(service))) // field 1, a text
		message = append(message, service...)
	}
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
}

// errMessage is a message that is not of protobuf.
var errMessage = errors.New("an answer that cannot be read")

// servingStatus is field 1 of a HealthCheckResponse; others are passed over. See https://protobuf.dev/programming-guides/encoding/.
func servingStatus(m []byte) (status uint64, err error) {
	for len(m) > 0 {
		tag, n := binary.Uvarint(m)
		if n <= 0 {
			return 0, errMessage
		}
		m = m[n:]
		value, n := uint64(0), 0
		switch tag & 7 {
		case 0:
			value, n = binary.Uvarint(m)
		case 1:
			n = 8
		case 2:
			if value, n = binary.Uvarint(m); n > 0 && value <= uint64(len(m)) {
				n += int(value)
			} else {
				n = 0
			}
		case 5:
			n = 4
		}
		if n <= 0 || n > len(m) {
			return 0, errMessage
		}
		if tag == 1<<3 {
			status = value
		}
		m = m[n:]
	}
	return status, nil
}

// codes are the statuses of gRPC by number, with what the common ones mean here. See doc/statuscodes.md.
var codes = []string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND: it does not know the service", "ALREADY_EXISTS", "PERMISSION_DENIED",
	"RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED: it does not serve grpc.health.v1.Health", "INTERNAL", "UNAVAILABLE",
	"DATA_LOSS", "UNAUTHENTICATED",
}

func codeName(code int) string {
	if code < len(codes) {
		return codes[code]
	}
	return strconv.Itoa(code)
}

// streamErrors are the errors of HTTP/2 by number, RFC 9113, section 7.
var streamErrors = []string{
	"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED", "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL",
	"COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
}

// reason is the error whose number stands at an offset, with the text that may follow it.
func reason(payload []byte, at int) string {
	if len(payload) < at+4 {
		return "it says not why"
	}
	text := "error " + strconv.FormatUint(uint64(binary.BigEndian.Uint32(payload[at:])), 10)
	if n := binary.BigEndian.Uint32(payload[at:]); n < uint32(len(streamErrors)) {
		text = streamErrors[n]
	}
	if more := firstLine(payload[at+4:]); more != "" {
		text += ", " + more
	}
	return text
}
