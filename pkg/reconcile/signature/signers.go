package signature

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"
)

// Namespace is what signatures of manifests are made for: ssh-keygen -Y sign -n reconciler.
const Namespace = "reconciler"

// Signers are those whose signatures count.
type Signers struct{ all []signer }

// signer is one line of a list of allowed signers.
type signer struct {
	principals    string
	key           []byte
	namespaces    string // patterns; "" for any
	after, before time.Time
}

// ParseSigners reads a list of allowed signers, see ALLOWED SIGNERS in ssh-keygen(1): principals, options and a public key a line. All problems are told,
// each with its line. Whoever is in the list counts; principals only name them.
func ParseSigners(file string, text []byte) (*Signers, error) {
	s := &Signers{}
	var errs []error
	number := 0
	for line := range bytes.Lines(text) {
		number++
		fields := words(strings.TrimSpace(string(line)))
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		one, err := parseSigner(fields)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %w", file, number, err))
			continue
		}
		s.all = append(s.all, one)
	}
	if len(errs) == 0 && len(s.all) == 0 {
		errs = append(errs, fmt.Errorf("%s: nobody is in it\nhint: a line is PRINCIPAL namespaces=\"%s\" ssh-ed25519 KEY", file, Namespace))
	}
	return s, errors.Join(errs...)
}

// words splits at white space outside of double quotes, which stay.
func words(line string) (all []string) {
	quoted, start := false, -1
	for i, r := range line + " " {
		quoted = quoted != (r == '"')
		switch space := !quoted && (r == ' ' || r == '\t'); {
		case !space && start < 0:
			start = i
		case space && start >= 0:
			all = append(all, line[start:i])
			start = -1
		}
	}
	if start >= 0 { // a quote is left open
		all = append(all, line[start:])
	}
	return all
}

func parseSigner(fields []string) (s signer, err error) {
	s.principals = strings.Trim(fields[0], `"`)
	rest := fields[1:]
	if len(rest) > 0 && !isKind(rest[0]) {
		if err := s.options(rest[0]); err != nil {
			return s, err
		}
		rest = rest[1:]
	}
	if len(rest) < 2 {
		return s, errors.New("no public key: a line is PRINCIPAL [OPTIONS] KIND KEY")
	}
	if s.key, err = base64.StdEncoding.DecodeString(rest[1]); err != nil {
		return s, errors.New("the public key is not base64")
	}
	if kind := string((&reader{rest: s.key}).text()); kind != rest[0] {
		return s, fmt.Errorf("the public key is of kind %q, and %q is said", shorten(kind), shorten(rest[0]))
	}
	if _, err := parseKey(s.key); err != nil {
		return s, fmt.Errorf("cannot use the public key: %w", err)
	}
	return s, nil
}

// isKind tells the kind of a key from options.
func isKind(word string) bool {
	for _, begin := range []string{"ssh-", "ecdsa-", "sk-", "rsa-"} {
		if strings.HasPrefix(word, begin) {
			return true
		}
	}
	return false
}

// options reads what stands between principals and key: NAME or NAME="VALUE", with commas between.
func (s *signer) options(text string) error {
	for text != "" {
		name, rest := text, ""
		if i := strings.IndexAny(text, "=,"); i >= 0 {
			name, rest = text[:i], text[i:]
		}
		value := ""
		if after, ok := strings.CutPrefix(rest, `="`); ok {
			if value, rest, ok = strings.Cut(after, `"`); !ok {
				return errors.New("a quote is left open")
			}
		}
		if err := s.option(strings.ToLower(name), value); err != nil {
			return err
		}
		var more bool
		if text, more = strings.CutPrefix(rest, ","); !more && text != "" {
			return fmt.Errorf("cannot understand the options at %q", shorten(text))
		}
	}
	return nil
}

func (s *signer) option(name, value string) (err error) {
	switch name {
	case "namespaces":
		if s.namespaces = value; value == "" {
			return errors.New("namespaces has no value")
		}
	case "valid-after":
		s.after, err = parseTime(value)
	case "valid-before":
		s.before, err = parseTime(value)
	case "cert-authority":
		return errors.New("certificates are not supported: list the keys themselves")
	default:
		return fmt.Errorf("unknown option %q", shorten(name))
	}
	return err
}

// parseTime reads YYYYMMDD[HHMM[SS]], local, or UTC with a Z at its end.
func parseTime(s string) (time.Time, error) {
	zone := time.Local
	digits, utc := strings.CutSuffix(s, "Z")
	if utc {
		zone = time.UTC
	}
	for _, form := range []string{"20060102", "200601021504", "20060102150405"} {
		if len(form) == len(digits) {
			if t, err := time.ParseInLocation(form, digits, zone); err == nil {
				return t, nil
			}
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time such as 20261231 or 202612312359Z", shorten(s))
}

// Verify tells whether one of the signers, at a time at which the key counts, has signed a text for Namespace. An error says why nobody has.
func (s *Signers) Verify(text, armoured []byte, now time.Time) error {
	sig, err := parse(armoured)
	if err != nil {
		return fmt.Errorf("cannot use the signature: %w", err)
	}
	if sig.namespace != Namespace {
		return fmt.Errorf("the signature is for %q, not for %q", shorten(sig.namespace), Namespace)
	}
	why := errors.New("its signer is not among the allowed ones")
	for _, one := range s.all {
		if !bytes.Equal(one.key, sig.publicKey) {
			continue
		}
		if why = one.counts(now); why == nil {
			break
		}
	}
	if why != nil {
		return why
	}
	if err := sig.verify(text); err != nil {
		return fmt.Errorf("the signature does not hold: %w", err)
	}
	return nil
}

// counts says why a signer's signatures do not count now.
func (s signer) counts(now time.Time) error {
	switch {
	case s.namespaces != "" && !listed(Namespace, s.namespaces):
		return fmt.Errorf("signer %s may sign for %s only", s.principals, shorten(s.namespaces))
	case !s.after.IsZero() && now.Before(s.after):
		return fmt.Errorf("the key of signer %s counts from %s on", s.principals, s.after.Format(time.RFC3339))
	case !s.before.IsZero() && now.After(s.before):
		return fmt.Errorf("the key of signer %s counted until %s", s.principals, s.before.Format(time.RFC3339))
	}
	return nil
}

// listed tells whether a word fits a list of patterns, see PATTERNS in ssh_config(5): * and ?, and ! in front of one that must not fit.
func listed(word, patterns string) (fits bool) {
	for pattern := range strings.SplitSeq(patterns, ",") {
		pattern, not := strings.CutPrefix(strings.TrimSpace(pattern), "!")
		pattern = strings.NewReplacer(`\`, `\\`, "[", `\[`).Replace(pattern) // those alone mean more in path.Match
		if ok, err := path.Match(pattern, word); err == nil && ok {
			if not {
				return false
			}
			fits = true
		}
	}
	return fits
}
