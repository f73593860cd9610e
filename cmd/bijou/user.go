package main

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"bijou"
	"bijou/app"
	"bijou/service/members/operators"
)

// users runs f on who runs the service: of the running service, or of a data directory where none runs.
func (s *session) users(f func(u *app.Users) error) error {
	config, _, err := s.config()
	if err != nil {
		return err
	}
	u, err := app.OpenUsers(s.ctx, config, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer u.Close()
	return f(u)
}

type userCmd struct {
	List   userListCmd   `cmd:"" help:"List who runs the service."`
	Add    userAddCmd    `cmd:"" help:"Add someone; prints a one-time address at which they set their password."`
	Role   userRoleCmd   `cmd:"" help:"Give someone a role: viewer, operator or administrator."`
	Invite userInviteCmd `cmd:"" help:"Print a one-time address at which someone sets a new password."`
	Remove userRemoveCmd `cmd:"" help:"Remove people, with their sessions and tokens."`
	Token  userTokenCmd  `cmd:"" help:"Tokens by which programs act for someone."`
}

// localTime prints a time as the clock on this machine's wall has it.
func localTime(t time.Time) string { return t.Local().Format("2006-01-02 15:04 MST") }

type userListCmd struct{}

func (userListCmd) Run(s *session) error {
	return s.users(func(u *app.Users) error {
		all, err := u.List(s.ctx)
		if err != nil {
			return err
		}
		return s.print(all.Operators, func() error {
			if len(all.Operators) == 0 {
				_, err := fmt.Fprintln(s.out, "Nobody yet. Add the first with: bijou user add NAME --role administrator")
				return err
			}
			var rows [][]string
			for _, o := range all.Operators {
				rows = append(rows, []string{o.Name, string(o.Role), signsIn(o), localTime(o.Created)})
			}
			return s.table([]string{"NAME", "ROLE", "SIGNS IN", "SINCE"}, rows)
		})
	})
}

// signsIn says how an operator signs in.
func signsIn(o bijou.Operator) string {
	switch issuer, _, _ := strings.Cut(o.SignOn, " "); {
	case issuer != "":
		return "by " + issuer
	case o.Password:
		return "with a password"
	}
	return "not yet: invited"
}

type userAddCmd struct {
	Name string `arg:"" help:"Name to sign in with, such as ada or ada@example.org."`
	Role string `help:"What they may do: viewer reads, operator runs the service, administrator manages users, tokens and keys too." enum:"viewer,operator,administrator" required:""`
}

func (c *userAddCmd) Run(s *session) error {
	return s.users(func(u *app.Users) error {
		in, err := u.Add(s.ctx, operators.NewOperator{Name: c.Name, Role: bijou.OperatorRole(c.Role)})
		if err != nil {
			return err
		}
		return s.invitation(in, fmt.Sprintf("%s is %s now.", in.Operator.Name, in.Operator.Role))
	})
}

type userInviteCmd struct {
	Name string `arg:"" help:"Who it is."`
}

func (c *userInviteCmd) Run(s *session) error {
	return s.users(func(u *app.Users) error {
		in, err := u.Invite(s.ctx, operators.OneOperator{Name: c.Name})
		if err != nil {
			return err
		}
		return s.invitation(in, "A one-time address made before does not work any more.")
	})
}

// invitation prints where someone sets a password.
func (s *session) invitation(in operators.Invitation, says string) error {
	return s.print(in, func() error {
		where := in.Page
		if strings.HasPrefix(where, "/") {
			where = "the service's address, once it runs, with " + in.Page + " behind it"
		}
		_, err := fmt.Fprintf(s.out, "%s\nThey set their password here, once, until %s:\n%s\n", says, localTime(in.Expires), where)
		return err
	})
}

type userRoleCmd struct {
	Name string `arg:"" help:"Who it is."`
	Role string `arg:"" help:"viewer, operator or administrator." enum:"viewer,operator,administrator"`
}

func (c *userRoleCmd) Run(s *session) error {
	return s.users(func(u *app.Users) error {
		if err := u.SetRole(s.ctx, operators.NewRole{Name: c.Name, Role: bijou.OperatorRole(c.Role)}); err != nil {
			return err
		}
		return s.say("%s is %s now, and has to sign in again\n", c.Name, c.Role)
	})
}

// say prints a line for a person. Who asked for JSON has the exit status.
func (s *session) say(format string, args ...any) error {
	if s.cli.Output == "json" {
		return nil
	}
	_, err := fmt.Fprintf(s.out, format, args...)
	return err
}

type userRemoveCmd struct {
	Name []string `arg:"" help:"Who they are."`
}

func (c *userRemoveCmd) Run(s *session) error {
	return s.users(func(u *app.Users) error {
		for _, name := range c.Name {
			if err := u.Remove(s.ctx, operators.OneOperator{Name: name}); err != nil {
				return err
			}
			if err := s.say("removed  %s\n", name); err != nil {
				return err
			}
		}
		return nil
	})
}

type userTokenCmd struct {
	Create userTokenCreateCmd `cmd:"" help:"Make a token by which a program acts for someone; it is printed once."`
	List   userTokenListCmd   `cmd:"" help:"List what stands for someone: sessions, tokens, one-time addresses."`
	Revoke userTokenRevokeCmd `cmd:"" help:"End a token."`
}

type userTokenCreateCmd struct {
	Name string        `arg:"" help:"Who it is."`
	For  time.Duration `help:"How long it can be used." default:"2160h"`
	Note string        `help:"What it is for." placeholder:"TEXT"`
}

func (c *userTokenCreateCmd) Run(s *session) error {
	return s.users(func(u *app.Users) error {
		t, err := u.AddToken(s.ctx, operators.NewProgramToken{Name: c.Name, Note: c.Note, ForMS: c.For.Milliseconds()})
		if err != nil {
			return err
		}
		return s.print(t, func() error {
			_, err := fmt.Fprintln(s.out, t.Token) // alone, so that it can go into a file
			return err
		})
	})
}

type userTokenListCmd struct {
	Name string `arg:"" help:"Who it is."`
}

func (c *userTokenListCmd) Run(s *session) error {
	return s.users(func(u *app.Users) error {
		all, err := u.TokensOf(s.ctx, operators.OneOperator{Name: c.Name})
		if err != nil {
			return err
		}
		return s.print(all.Tokens, func() error {
			var rows [][]string
			for _, t := range all.Tokens {
				rows = append(rows, []string{string(t.ID), string(t.Kind), localTime(t.Created), localTime(t.Expires), orDash(t.Note)})
			}
			return s.table([]string{"ID", "KIND", "SINCE", "UNTIL", "NOTE"}, rows)
		})
	})
}

type userTokenRevokeCmd struct {
	Name string `arg:"" help:"Who it is."`
	ID   string `arg:"" help:"The token's identifier, such as tok_x."`
}

func (c *userTokenRevokeCmd) Run(s *session) error {
	return s.users(func(u *app.Users) error {
		if err := u.EndToken(s.ctx, operators.OneToken{Name: c.Name, ID: bijou.TokenID(c.ID)}); err != nil {
			return err
		}
		return s.say("ended  %s\n", c.ID)
	})
}

type auditCmd struct {
	List   auditListCmd   `cmd:"" default:"withargs" help:"List what operators did, latest last."`
	Verify auditVerifyCmd `cmd:"" help:"Check that no line of the log was altered or taken out, and print the hash of the last one."`
}

type auditListCmd struct {
	Since string `help:"Not before this: a time such as 2026-03-04T12:00:00Z, or how long ago, such as 24h." placeholder:"WHEN"`
	User  string `help:"Of this user alone; local is the command line on the service's machine." placeholder:"NAME"`
	Limit int    `help:"At most so many; 0 for all." default:"100"`
}

func (c *auditListCmd) Run(s *session) error {
	since, err := sinceText(c.Since, time.Now())
	if err != nil {
		return err
	}
	if c.Limit < 0 {
		return fmt.Errorf("--limit is %d: it must be 0 or more: %w", c.Limit, bijou.Invalid)
	}
	return s.users(func(u *app.Users) error {
		all := []bijou.Action{}
		q := operators.ActionsQuery{Since: since, User: c.User}
		for c.Limit == 0 || len(all) < c.Limit {
			q.Limit = 1000
			if c.Limit > 0 {
				q.Limit = min(q.Limit, c.Limit-len(all))
			}
			page, err := u.Actions(s.ctx, q)
			if err != nil {
				return err
			}
			all = append(all, page.Actions...)
			if page.Next == 0 {
				break
			}
			q.Before = page.Next
		}
		slices.Reverse(all)
		return s.print(all, func() error { return s.actions(all) })
	})
}

// sinceText returns the time that a person wrote, or how long ago it was, as the service takes it.
func sinceText(text string, now time.Time) (string, error) {
	if text == "" {
		return "", nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d).UTC().Format(time.RFC3339), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t.UTC().Format(time.RFC3339), nil
		}
	}
	return "", fmt.Errorf("--since is %q: write a time such as 2026-03-04T12:00:00Z or 2026-03-04, or how long ago, such as 24h: %w", text, bijou.Invalid)
}

func (s *session) actions(all []bijou.Action) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(s.out, "Nothing was done.")
		return err
	}
	var rows [][]string
	for _, a := range all {
		var on []string
		for name, value := range a.On {
			on = append(on, fmt.Sprintf("%s=%q", name, value))
		}
		slices.Sort(on)
		outcome := string(a.Outcome)
		if outcome == "" {
			outcome = "not ended"
		}
		rows = append(rows, []string{
			a.At.Local().Format("2006-01-02 15:04:05"), orDash(a.Name), orDash(a.Address), a.Method, orDash(strings.Join(on, " ")), outcome, oneLine(a.Says),
		})
	}
	return s.table([]string{"WHEN", "WHO", "FROM", "WHAT", "ON", "OUTCOME", "WHY"}, rows)
}

type auditVerifyCmd struct{}

func (auditVerifyCmd) Run(s *session) error {
	return s.users(func(u *app.Users) error {
		c, err := u.Verify(s.ctx)
		if err != nil {
			return err
		}
		err = s.print(c, func() error {
			if c.Altered > 0 {
				return nil
			}
			_, err := fmt.Fprintf(s.out, "The audit log is what was written: %d lines, up to number %d with hash\n%s\n", c.Lines, c.Last, c.Hash)
			return err
		})
		if err == nil && c.Altered > 0 {
			err = fmt.Errorf("the audit log was altered: line %d is not what was written there: compare it with a backup: %w", c.Altered, bijou.Corrupt)
		}
		return err
	})
}
