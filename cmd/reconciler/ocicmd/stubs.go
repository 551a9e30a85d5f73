package ocicmd

import "errors"

func (c *command) update(f *flags, args []string) (int, error)   { return 1, errors.New("later") }
func (c *command) events(f *flags, args []string) (int, error)   { return 1, errors.New("later") }
func (c *command) spec(f *flags, args []string) (int, error)     { return 1, errors.New("later") }
func (c *command) features(f *flags, args []string) (int, error) { return 1, errors.New("later") }
