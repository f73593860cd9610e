package main

import (
	"fmt"

	"bijou/app"
)

type doctorCmd struct{}

func (doctorCmd) Run(s *session) error {
	config, _, err := s.config()
	if err != nil {
		return err
	}
	found := append([]app.Finding{{Check: "configuration", State: app.FindingOK, Says: "valid"}}, app.Doctor(s.ctx, config)...)
	failures := 0
	for _, f := range found {
		if f.State == app.FindingFailure {
			failures++
		}
	}
	err = s.print(found, func() error {
		for _, f := range found {
			if _, err := fmt.Fprintf(s.out, "%-8s %s: %s\n", f.State, f.Check, f.Says); err != nil {
				return err
			}
			if f.Fix != "" {
				if _, err := fmt.Fprintf(s.out, "         fix: %s\n", f.Fix); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if failures > 0 {
		return errSaid
	}
	return nil
}
