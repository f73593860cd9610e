package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"bijou"
	"bijou/app"
	"bijou/kit/conf"
	"bijou/kit/watch"
)

type upCmd struct {
	Listen   string `help:"Address of the service, host:port. The default, 127.0.0.1:8080, is reached from this machine alone." placeholder:"ADDRESS"`
	LogLevel string `help:"debug, info, warn or error." placeholder:"LEVEL"`
}

func (c *upCmd) Run(s *session) error {
	var flags []string
	if c.Listen != "" {
		flags = append(flags, "listen="+c.Listen)
	}
	if c.LogLevel != "" {
		flags = append(flags, "log_level="+c.LogLevel)
	}
	config, _, err := s.config(flags...)
	if err != nil {
		return err
	}
	log, err := watch.NewLog(s.err, config.LogLevel)
	if err != nil {
		return err
	}
	return app.Up(s.ctx, config, build(), log, func(r app.Ready) {
		fmt.Fprintf(s.out, "Bijou is ready: %s\nAdd a film:     %s title add FILM%s\nStop:           Ctrl-C\n", r.Address, program(), s.where(config))
		if r.First != "" {
			fmt.Fprintf(s.out, "\nThere is no administrator yet. The first one makes their user here, once, until %s:\n%s\n", localTime(r.Expires), r.First)
		}
	})
}

// where returns the flag that another command needs to find the service.
func (s *session) where(c app.Config) string {
	if c.DataDir == app.DefaultConfig().DataDir {
		return ""
	}
	if strings.ContainsAny(c.DataDir, " '\"$\\") {
		return fmt.Sprintf(" --data-dir '%s'", strings.ReplaceAll(c.DataDir, "'", `'\''`))
	}
	return " --data-dir " + c.DataDir
}

// program returns how this program was called.
func program() string { return os.Args[0] }

type confCmd struct {
	Print    confPrintCmd    `cmd:"" help:"Print every key with its value and where that comes from."`
	Validate confValidateCmd `cmd:"" help:"Check the configuration and say what is wrong with it."`
}

type confPrintCmd struct{}

func (confPrintCmd) Run(s *session) error {
	config, origins, err := s.config()
	if err != nil {
		return err
	}
	return s.print(conf.Keys(&config, "BIJOU"), func() error { return conf.Print(s.out, &config, origins) })
}

type confValidateCmd struct{}

func (confValidateCmd) Run(s *session) error {
	_, _, err := s.config()
	if wrong, several := errors.AsType[conf.Errors](err); several {
		for _, w := range wrong {
			fmt.Fprintln(s.err, "bijou:", oneLine(bijou.Sentence(w)))
		}
		return errSaid
	}
	if err != nil {
		return err
	}
	_, err = io.WriteString(s.out, "The configuration is valid.\n")
	return err
}
