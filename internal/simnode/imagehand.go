package simnode

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// What somebody does to the images of a machine behind the agent's back.

// Images are all images there are of a name, oldest first.
func (m *Machine) Images(name string) []spec.Image {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.shownImages(name)
}

// Misfits are what the machine was asked for that nobody may ask for: images into containers that they do not fit, two verbs of a name at once.
func (m *Machine) Misfits() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.misfits)
}

// Damage spoils the newest image of a name that nothing is known against. known tells whether the machine shows it before somebody tries to restore it.
func (m *Machine) Damage(name string, known bool) error {
	return m.onNewest(name, func(i *image) {
		i.hidden = "pages-1.img is damaged"
		if known {
			i.Problem = i.hidden
		}
	})
}

// Poison makes what is restored from the newest image of a name end after a while.
func (m *Machine) Poison(name string, after time.Duration) error {
	return m.onNewest(name, func(i *image) { i.poison(after) })
}

// Poisoned tells whether there is an image of a name that a process soon ends from.
func (m *Machine) Poisoned(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.ContainsFunc(m.images[name], func(i *image) bool { return i.poisoned })
}

func (m *Machine) onNewest(name string, do func(*image)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for n := len(m.images[name]) - 1; n >= 0; n-- {
		if i := m.images[name][n]; i.hidden == "" {
			do(i)
			return nil
		}
	}
	return fmt.Errorf("no image of %s", name)
}

// Unable makes the machine take and restore no images, and say why; "" ends it.
func (m *Machine) Unable(why string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.unable = nil; why != "" {
		m.unable = fmt.Errorf("%s: %w", why, errors.ErrUnsupported)
	}
}

// Uncheckpointable makes what runs under a name hold something that cannot be saved, or no more.
func (m *Machine) Uncheckpointable(name string, so bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.uncheckpointable[name] = so
}

// Slow makes images take a time.
func (m *Machine) Slow(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.slow = d
}

// Refuses tells whether an image of a name was refused for what is in it, and none was taken since.
func (m *Machine) Refuses(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.refused[name]
}

// Full leaves no room for images, or makes some.
func (m *Machine) Full(full bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.full = full
}
