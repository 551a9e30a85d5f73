package image

import "time"

// OpenTripped opens a Store that asks trip before each change of the disk.
func OpenTripped(dir string, trip func(step string) error) (*Store, error) {
	return openStore(dir, trip)
}

// SetClock gives a Store another clock.
func (s *Store) SetClock(now func() time.Time) { s.now = now }

// Decode says of which image a record is.
func Decode(text []byte) (ref string, err error) {
	r, err := decode(text)
	if err != nil {
		return "", err
	}
	return r.Image.Ref(), nil
}

// Seal makes a record of what it says.
func Seal(body []byte) ([]byte, error) { return seal(body) }
