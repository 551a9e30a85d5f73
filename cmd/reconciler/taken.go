package main

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/api"
	"github.com/seed31d4122e/reconciler/pkg/linux"
	"github.com/seed31d4122e/reconciler/pkg/linux/network"
	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/reconcile/signature"
	"github.com/seed31d4122e/reconciler/pkg/reconcile/source"
	"github.com/seed31d4122e/reconciler/pkg/spec"
	"github.com/seed31d4122e/reconciler/pkg/web"
)

// taken is what some flags mean once the files that they name are read.
type taken struct {
	options source.Options
	rules   reconcile.Rules
	grants  api.Grants
	lost    error // grants whose names are nobody's here: they give nothing, and are told of
}

// take reads what the flags name, as readFile gives it, and says as spec.Problems which values an agent would refuse, and where they were said. It changes and opens nothing: what
// it lets through, the next start takes, but for what only the machine can show, such as an address that another has.
func (s *settings) take(readFile func(string) ([]byte, error)) (taken, error) {
	var policy *spec.NodePolicy
	var signers *signature.Signers
	var problems spec.Problems
	for _, c := range []struct {
		flag  string
		check func() error
	}{
		{"policy", func() (err error) { policy, err = s.policy.read(readFile); return err }},
		{"require-signatures", func() (err error) { signers, err = s.allowedSigners(readFile); return err }},
		{"run-dir", s.checkRunDir},
		{"cgroup-parent", func() error { return linux.CheckCgroupParent(s.cgroupParent) }},
		{"bridge-subnet", func() error { return network.CheckSubnet(s.subnet) }},
		{"metrics-listen", func() error { return checkAddress(s.metricsListen, hostPort) }},
		{"web-listen", func() error { return checkAddress(s.webListen, web.Loopback) }},
	} {
		problems = append(problems, s.problems(c.flag, c.check())...)
	}
	if len(problems) > 0 {
		return taken{}, problems
	}
	grants, lost := api.ParseGrants(s.grants)
	return taken{
		source.Options{Owners: []uint32{s.manifestOwner}, Watch: source.Watch(s.watch.word), Decode: policy.Decode, Signers: signers},
		reconcile.Rules{Prune: reconcile.PrunePolicy(s.prune.word), DeepLook: s.deepLook(), Allows: policy.Allows},
		grants, lost,
	}, nil
}

// problems are what is wrong with a flag's value, where that was said. What is wrong in a file that it names has places of its own.
func (s *settings) problems(flag string, err error) spec.Problems {
	own, ok := errors.AsType[spec.Problems](err)
	if ok || err == nil {
		return own
	}
	p := s.places[flag]
	message, hint, _ := strings.Cut(err.Error(), hintMark)
	p.Message, p.Hint = message, cmp.Or(hint, hintOf(err))
	return spec.Problems{p}
}

// maxSocketPath is how many bytes the address of a unix socket has room for, see unix(7).
const maxSocketPath = 107

// checkRunDir says why the agent could not listen below its run directory.
func (s *settings) checkRunDir() error {
	path, err := filepath.Abs(filepath.Join(s.runDir, socketName))
	if err == nil && len(path) > maxSocketPath && !s.once {
		err = fmt.Errorf("%s is too long for the address of a socket: %d bytes, of %d\nhint: say a shorter directory", path, len(path), maxSocketPath)
	}
	return err
}

// checkAddress says what is wrong with an address, which need not be said.
func checkAddress(address string, check func(string) error) error {
	if address == "" {
		return nil
	}
	return check(address)
}

func hostPort(address string) error {
	_, err := web.HostPort(address)
	return err
}

// deepLook is the interval as the loop takes it, where 0 is the default.
func (f agentFlags) deepLook() time.Duration {
	if f.drift <= 0 {
		return -1
	}
	return f.drift
}

// allowedSigners are those who may sign manifests; nil when no signatures are asked for.
func (f agentFlags) allowedSigners(readFile func(string) ([]byte, error)) (*signature.Signers, error) {
	if f.signers == "" {
		return nil, nil
	}
	text, err := readFile(f.signers)
	if err != nil {
		return nil, fmt.Errorf("no allowed signers: %w", err)
	}
	return signature.ParseSigners(f.signers, text)
}
