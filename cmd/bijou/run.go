package main

import (
	"fmt"

	"bijou"
	"bijou/app"
	"bijou/kit/watch"
)

type runCmd struct {
	Appliance runApplianceCmd `cmd:"" help:"Run an appliance: of a service elsewhere (--server), or in front of any HTTP origin (--origin)."`
}

type runApplianceCmd struct {
	Server    string `help:"Address of the service that the appliance belongs to." placeholder:"URL"`
	TokenFile string `help:"File with the join token of bijou token create; needed the first time." placeholder:"FILE"`
	Origin    string `help:"Address of an HTTP origin to stand in front of, without the rest of Bijou." placeholder:"URL"`
	Key       string `help:"File with the public keys (PEM) that grants are checked with, for --origin." placeholder:"FILE"`
	Listen    string `help:"Address of viewers, host:port." placeholder:"ADDRESS"`
	LogLevel  string `help:"debug, info, warn or error." placeholder:"LEVEL"`
}

func (c *runApplianceCmd) Run(s *session) error {
	if (c.Server == "") == (c.Origin == "") {
		return fmt.Errorf("say what the appliance serves: --server URL for a service's, or --origin URL for another origin's: %w", bijou.Invalid)
	}
	var flags []string
	if c.Listen != "" {
		flags = append(flags, "appliance.listen="+c.Listen)
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
	listening := func(address string) { fmt.Fprintf(s.out, "Appliance is ready: %s\n", address) }
	if c.Server != "" {
		return app.RunRemote(s.ctx, app.Remote{Server: c.Server, TokenFile: c.TokenFile, Dir: config.DataDir}, config.Appliance, build(), log, listening)
	}
	return app.RunEdge(s.ctx, app.Edge{Origin: c.Origin, KeyFile: c.Key, Dir: config.DataDir}, config.Appliance, build(), log, listening)
}
