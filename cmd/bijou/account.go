package main

import (
	"fmt"

	"bijou"
	"bijou/service/members"
)

type accountCmd struct {
	List   accountListCmd   `cmd:"" help:"List members' accounts, newest first."`
	Add    accountAddCmd    `cmd:"" help:"Make an account for somebody; prints the link by which its password is set."`
	Reset  accountResetCmd  `cmd:"" help:"Print a link by which an account's password is set anew."`
	Remove accountRemoveCmd `cmd:"" help:"Delete an account and all that is kept of it."`
}

type accountListCmd struct {
	Email string `arg:"" optional:"" help:"Only accounts whose address holds this text."`
}

func (c *accountListCmd) Run(s *session) error {
	o, err := s.operator()
	if err != nil {
		return err
	}
	all, err := accounts(s, o.Members, c.Email)
	if err != nil {
		return err
	}
	return s.print(all, func() error {
		if len(all) == 0 {
			_, err := fmt.Fprintln(s.out, "No accounts.")
			return err
		}
		var rows [][]string
		for _, a := range all {
			rows = append(rows, []string{string(a.ID), a.Created.Format("2006-01-02 15:04:05 MST"), a.Email})
		}
		return s.table([]string{"ID", "SIGNED UP", "E-MAIL"}, rows)
	})
}

// accounts returns all accounts whose address holds the text.
func accounts(s *session, m *members.Client, email string) ([]bijou.Account, error) {
	if normal, err := bijou.NormalEmail(email); err == nil {
		email = normal
	}
	all := []bijou.Account{}
	in := members.AccountsQuery{Email: email, Limit: 500}
	for {
		page, err := m.FindAccounts(s.ctx, in)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Accounts...)
		if in.Before = page.Next; page.Next == "" {
			return all, nil
		}
	}
}

type accountAddCmd struct {
	Email string `arg:"" help:"The address to sign in with."`
}

func (c *accountAddCmd) Run(s *session) error {
	o, err := s.operator()
	if err != nil {
		return err
	}
	link, err := o.Members.AddAccount(s.ctx, members.AddAccount{Email: c.Email})
	if err != nil {
		return err
	}
	return s.printLink(link)
}

// printLink prints a reset link alone, so that it can be handed on.
func (s *session) printLink(link members.ResetLink) error {
	return s.print(link, func() error {
		_, err := fmt.Fprintln(s.out, link.Link)
		return err
	})
}

type accountResetCmd struct {
	Account string `arg:"" help:"The account's identifier, or its address."`
}

func (c *accountResetCmd) Run(s *session) error {
	o, err := s.operator()
	if err != nil {
		return err
	}
	a, err := findAccount(s, o.Members, c.Account)
	if err != nil {
		return err
	}
	link, err := o.Members.MakeResetLink(s.ctx, a.ID)
	if err != nil {
		return err
	}
	return s.printLink(link)
}

type accountRemoveCmd struct {
	Account []string `arg:"" help:"The accounts' identifiers, or their addresses."`
}

func (c *accountRemoveCmd) Run(s *session) error {
	o, err := s.operator()
	if err != nil {
		return err
	}
	removed := []bijou.Account{}
	for _, name := range c.Account {
		a, err := findAccount(s, o.Members, name)
		if err != nil {
			return err
		}
		if err := o.Members.RemoveAccount(s.ctx, a.ID); err != nil {
			return err
		}
		removed = append(removed, a)
		if s.cli.Output != "json" {
			fmt.Fprintf(s.out, "%s  removed  %s\n", a.ID, a.Email)
		}
	}
	return s.print(removed, func() error { return nil })
}

// findAccount returns the account with the identifier or the address.
func findAccount(s *session, m *members.Client, name string) (bijou.Account, error) {
	if id := bijou.AccountID(name); bijou.CheckID(id, bijou.AccountPrefix) == nil {
		return bijou.Account{ID: id}, nil
	}
	email, err := bijou.NormalEmail(name)
	if err != nil {
		return bijou.Account{}, err
	}
	all, err := accounts(s, m, email)
	if err != nil {
		return bijou.Account{}, err
	}
	for _, a := range all {
		if a.Email == email {
			return a, nil
		}
	}
	return bijou.Account{}, fmt.Errorf("no account has the identifier or address %q: see them with: bijou account list: %w", name, bijou.NotFound)
}
