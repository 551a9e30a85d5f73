package spec

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// maxArguments bounds the words and variables of an Exec: MAX_ARG_STRINGS is far more, but all have to go over a socket.
const maxArguments = 65536

// Check tells what is wrong with an Exec, nil if nothing: the first problem, with a hint on a line of its own where one helps. It does
// not know what is in the container.
func (e Exec) Check() error {
	switch {
	case len(e.Command) == 0 || e.Command[0] == "":
		return errors.New("command: names no program")
	case e.Detach && (e.TTY || e.Stdin):
		return errors.New("detach: a process on its own has neither terminal nor input")
	case len(e.Command) > maxArguments || len(e.Env) > maxArguments:
		return fmt.Errorf("command: more than %d words or variables", maxArguments)
	}
	return cmp.Or(
		checkTexts("command", "argument", e.Command...),
		e.checkEnv(),
		checkOptional("user", "user", e.User),
		checkOptional("workingDir", "path", e.WorkingDir),
		checkTexts("capabilities.add", "capability", e.Capabilities.Add...),
		checkTexts("capabilities.drop", "capability", e.Capabilities.Drop...),
	)
}

func (e Exec) checkEnv() error {
	for _, name := range slices.Sorted(maps.Keys(e.Env)) {
		if err := cmp.Or(checkTexts("env", "envName", name), checkTexts("env."+quoteBare(name), "argument", e.Env[name])); err != nil {
			return err
		}
	}
	return nil
}

func checkOptional(key, format, text string) error {
	if text == "" {
		return nil
	}
	return checkTexts(key, format, text)
}

// checkTexts tells which text does not have a format.
func checkTexts(key, format string, texts ...string) error {
	for _, text := range texts {
		err := checkFormat(format, text)
		if f, ok := errors.AsType[fault](err); ok && f.hint != "" {
			return fmt.Errorf("%s: %w\nhint: %s", key, err, f.hint)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}
