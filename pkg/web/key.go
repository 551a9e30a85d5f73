package web

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/statefile"
)

// KeyFile is the name of the file below the run directory that holds the address of the page with its token, one line, mode 0600: who can read
// it can look.
const KeyFile = "web.url"

// tokenMark stands between address and token. What is behind # stays in the browser.
const tokenMark = "#token="

// ReadKey is the address in the KeyFile of a directory: http://127.0.0.1:9465/ui/#token=...
func ReadKey(dir string) (string, error) {
	text, err := os.ReadFile(filepath.Join(dir, KeyFile))
	return strings.TrimSpace(string(text)), err
}

// Key writes the KeyFile of a directory for an address and returns the token. The token that is there stays, so that a page that is open outlives
// the agent, if nobody but the agent's user could have read or written it.
func Key(dir string, address net.Addr) (token string, err error) {
	file := filepath.Join(dir, KeyFile)
	if token, err = keptToken(file); err != nil {
		token = rand.Text()
	}
	line := "http://" + address.String() + Prefix + tokenMark + token + "\n"
	if err := statefile.Replace(file, []byte(line), 0o600, false); err != nil {
		return "", fmt.Errorf("cannot write the address of the web page: %w", err)
	}
	return token, nil
}

// Forget removes the KeyFile of a directory: nobody is led to its address any more, and the next Key is another.
func Forget(dir string) error {
	if err := os.Remove(filepath.Join(dir, KeyFile)); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// keptToken is the token of a file that is only our own.
func keptToken(file string) (string, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	var stat unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &stat); err != nil {
		return "", err
	}
	text := make([]byte, 512)
	n, err := f.Read(text)
	_, token, found := strings.Cut(strings.TrimSpace(string(text[:n])), tokenMark)
	if err != nil || !found || len(token) < len(rand.Text()) || stat.Mode != unix.S_IFREG|0o600 || int(stat.Uid) != os.Geteuid() {
		return "", fmt.Errorf("%s holds no token that nobody else knows", file)
	}
	return token, nil
}
