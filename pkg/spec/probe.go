package spec

import (
	"cmp"
	"time"
)

// Probes say how the health of the container is found out. The startup probe comes first: until it has succeeded the others wait. What
// is not said is nil: a container has them seldom, and is copied often.
type Probes struct {
	// Startup tells when the container has started. It ends with its first success; one that fails failureThreshold times in a row is a failed liveness. Default: it has started at once.
	Startup *Probe `json:"startup,omitzero" class:"live"`
	// Readiness tells whether the container can do its work now. A container that is not ready runs on. Default: it is ready when it has started.
	Readiness *Probe `json:"readiness,omitzero" class:"live"`
	// Liveness tells whether the container is beyond help: after failureThreshold failures in a row it ends as its restart policy says. Default: never.
	Liveness *Probe `json:"liveness,omitzero" class:"live"`
}

// Notify tells whether one of them waits to be told.
func (p Probes) Notify() bool { return p.Startup.waits() || p.Readiness.waits() }

func (p *Probe) waits() bool { return p != nil && p.Notify }

// Unlike all else of a probe, notify is of class replace: it brings a mount and a variable, which a process that runs cannot be given. Were it live, a manifest that
// asks a running container to say READY=1 would wait until its update is given up.

// NotifyDir is where a container finds the socket of a probe that waits to be told, and NotifySocket the socket itself. What is mounted is the directory, as
// with other engines: another keeper puts another socket into it.
const (
	NotifyDir    = "/run/notify"
	NotifySocket = NotifyDir + "/notify.sock"
)

// Probe is a question that is asked again and again, of one kind: http, tcp, grpc, exec or notify. It is asked from inside the container's network, by
// the agent and without a process, but for exec. One question is asked at a time.
type Probe struct {
	// HTTP succeeds with a status from 200 to 399. Redirects are not followed.
	HTTP *HTTPProbe `json:"http,omitzero" class:"live"`
	// TCP succeeds when a connection is accepted.
	TCP *TCPProbe `json:"tcp,omitzero" class:"live"`
	// GRPC succeeds when grpc.health.v1.Health says SERVING. There is no encryption.
	GRPC *GRPCProbe `json:"grpc,omitzero" class:"live"`
	// Exec succeeds when a command ends with 0.
	Exec *ExecProbe `json:"exec,omitzero" class:"live"`
	// Notify waits for the container to say READY=1 by itself, see sd_notify(3), instead of asking; startup and readiness alone have it. It finds the path of the socket in NOTIFY_SOCKET, /run/notify/notify.sock unless env says another; RELOADING=1 and STOPPING=1 make it not ready until the next READY=1. Default false.
	Notify bool `json:"notify,omitzero" class:"replace"`
	// Period is how often it is asked. Default 10s.
	Period Duration `json:"period,omitzero" class:"live" min:"100ms" max:"24h"`
	// Timeout is how long an answer may take. Default 1s.
	Timeout Duration `json:"timeout,omitzero" class:"live" min:"1ms" max:"1h"`
	// InitialDelay is how long after the start of the process it is asked first. Default 0s.
	InitialDelay Duration `json:"initialDelay,omitzero" class:"live" max:"24h"`
	// FailureThreshold is how many failures in a row count. Default 3.
	FailureThreshold int `json:"failureThreshold,omitzero" class:"live" min:"1" max:"1000000"`
	// SuccessThreshold is how many successes in a row count after a failure; only readiness may say more than 1. Default 1.
	SuccessThreshold int `json:"successThreshold,omitzero" class:"live" min:"1" max:"1000000"`
}

// HTTPProbe is a GET of HTTP/1.1. Its body is read up to 64 KiB.
type HTTPProbe struct {
	// Port is the port in the container.
	Port int `json:"port" class:"live" min:"1" max:"65535"`
	// Path is what is asked for, with its query. Default /.
	Path string `json:"path,omitzero" class:"live" format:"urlPath"`
	// Scheme is HTTP (default) or HTTPS, whose certificate is not verified.
	Scheme Scheme `json:"scheme,omitzero" class:"live"`
	// Host is the Host header, and the name that HTTPS asks for. Default: address and port.
	Host string `json:"host,omitzero" class:"live" format:"httpHost"`
	// Headers are further headers of the request. User-Agent and Accept have defaults.
	Headers map[string]string `json:"headers,omitzero" class:"live" keys:"headerName" format:"headerValue"`
	// Address is the IP address that is asked, as the container sees it. Default 127.0.0.1.
	Address string `json:"address,omitzero" class:"live" format:"ip"`
}

// Scheme is how HTTP is spoken.
type Scheme string

// The schemes.
const (
	SchemeHTTP  Scheme = "HTTP"
	SchemeHTTPS Scheme = "HTTPS"
)

// TCPProbe is a connection that is closed when it is there.
type TCPProbe struct {
	// Port is the port in the container.
	Port int `json:"port" class:"live" min:"1" max:"65535"`
	// Address is the IP address that is asked, as the container sees it. Default 127.0.0.1.
	Address string `json:"address,omitzero" class:"live" format:"ip"`
}

// GRPCProbe is a call of grpc.health.v1.Health/Check over HTTP/2 without encryption.
type GRPCProbe struct {
	// Port is the port in the container.
	Port int `json:"port" class:"live" min:"1" max:"65535"`
	// Service is the service that is asked about. Default: the server as a whole.
	Service string `json:"service,omitzero" class:"live" format:"grpcService"`
	// Address is the IP address that is asked, as the container sees it. Default 127.0.0.1.
	Address string `json:"address,omitzero" class:"live" format:"ip"`
}

// ExecProbe is a command in the container.
type ExecProbe struct {
	// Command is the program and its arguments, looked up as spec.command is. It has the environment and user of the container, and is killed at the timeout.
	Command []string `json:"command" class:"live" format:"argument"`
}

// The defaults of a Probe.
const (
	DefaultProbePeriod      = Duration(10 * time.Second)
	DefaultProbeTimeout     = Duration(time.Second)
	DefaultFailureThreshold = 3
	DefaultSuccessThreshold = 1
	DefaultProbeAddress     = "127.0.0.1"
)

// Defaulted is p with its defaults in place of what it does not say. Of no probe, nil, it is the zero value. What p points to stays as it is.
func (p *Probe) Defaulted() Probe {
	if p == nil {
		return Probe{}
	}
	d := *p
	orElse(&d.Period, DefaultProbePeriod)
	orElse(&d.Timeout, DefaultProbeTimeout)
	orElse(&d.FailureThreshold, DefaultFailureThreshold)
	orElse(&d.SuccessThreshold, DefaultSuccessThreshold)
	if d.HTTP != nil {
		http := *d.HTTP
		orElse(&http.Path, "/")
		orElse(&http.Scheme, SchemeHTTP)
		orElse(&http.Address, DefaultProbeAddress)
		d.HTTP = &http
	}
	if d.TCP != nil {
		d.TCP = &TCPProbe{Port: d.TCP.Port, Address: cmp.Or(d.TCP.Address, DefaultProbeAddress)}
	}
	if d.GRPC != nil {
		d.GRPC = &GRPCProbe{Port: d.GRPC.Port, Service: d.GRPC.Service, Address: cmp.Or(d.GRPC.Address, DefaultProbeAddress)}
	}
	return d
}
