package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	provider "github.com/pulumi/pulumi-go-provider"
)

// lastLines is the number of output lines that an error repeats.
const lastLines = 20

// log sends a command's output to the engine's log, line by line, unless `logging` excludes it.
type log struct {
	stdout, stderr lines
}

// lines is a stream of output and its last lines. The lines of a silent stream are dropped.
type lines struct {
	say     func(string)
	pending []byte
	last    []string
}

func newLog(ctx context.Context, logging *string) (*log, error) {
	say := provider.GetLogger(ctx).Info
	wanted := "stdoutAndStderr"
	if logging != nil {
		wanted = *logging
	}
	switch wanted {
	case "stdoutAndStderr":
		return &log{lines{say: say}, lines{say: say}}, nil
	case "stdout":
		return &log{stdout: lines{say: say}}, nil
	case "stderr":
		return &log{stderr: lines{say: say}}, nil
	case "none":
		return &log{}, nil
	}
	return nil, fmt.Errorf("logging is %q; it may be stdout, stderr, stdoutAndStderr or none", wanted)
}

func (l *lines) Write(p []byte) (int, error) {
	if l.say == nil {
		return len(p), nil
	}
	l.pending = append(l.pending, p...)
	for {
		line, rest, found := bytes.Cut(l.pending, []byte("\n"))
		if !found {
			return len(p), nil
		}
		l.take(string(line))
		l.pending = rest
	}
}

func (l *lines) take(line string) {
	l.say(line)
	l.last = append(l.last, line)
	l.last = l.last[max(0, len(l.last)-lastLines):]
}

func (l *log) flush() {
	for _, stream := range []*lines{&l.stdout, &l.stderr} {
		if len(stream.pending) > 0 {
			stream.take(string(stream.pending))
			stream.pending = nil
		}
	}
}

// explain adds the last lines of stderr to an error, or those of stdout if stderr is empty.
func (l *log) explain(err error) error {
	last := l.stderr.last
	if len(last) == 0 {
		last = l.stdout.last
	}
	if len(last) == 0 {
		return err
	}
	return fmt.Errorf("%w. Its output ended with:\n%s", err, strings.Join(last, "\n"))
}
