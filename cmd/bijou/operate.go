package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"bijou"
	"bijou/app"
	"bijou/kit/trust"
	"bijou/service/steering"
	"bijou/wire/grant"
)

// operator opens the running service.
func (s *session) operator() (*app.Operator, error) {
	config, _, err := s.config()
	if err != nil {
		return nil, err
	}
	return app.OpenOperator(s.ctx, config)
}

type applianceCmd struct {
	List  applianceListCmd `cmd:"" help:"List appliances, and how they are."`
	Serve stateCmd         `cmd:"" help:"Let an appliance serve again."`
	Drain stateCmd         `cmd:"" help:"Send nobody to an appliance any more; who watches from it watches on."`
	Pause stateCmd         `cmd:"" help:"Have an appliance refuse everybody, and keep its files."`
	Drop  stateCmd         `cmd:"" help:"Have an appliance refuse everybody, and belong to the service no more."`
}

type applianceListCmd struct{}

func (applianceListCmd) Run(s *session) error {
	o, err := s.operator()
	if err != nil {
		return err
	}
	all, err := o.Steering.List(s.ctx)
	if err != nil {
		return err
	}
	return s.print(all.Appliances, func() error {
		if len(all.Appliances) == 0 {
			_, err := fmt.Fprintln(s.out, "No appliances. Run one with: bijou run appliance --server URL --token-file FILE")
			return err
		}
		var rows [][]string
		for _, a := range all.Appliances {
			note := a.Reason
			if a.Usable {
				note = "usable"
			}
			rows = append(rows, []string{
				string(a.Appliance.ID), a.Appliance.Name, a.Appliance.Address, orDash(a.Appliance.Zone), string(a.State), bytesText(a.HeldBytes),
				fmt.Sprintf("%.1f Mb/s", float64(a.Load.SentBPS)/1e6), note,
			})
		}
		return s.table([]string{"ID", "NAME", "ADDRESS", "ZONE", "STATE", "HELD", "SENDS", "NOTE"}, rows)
	})
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func bytesText(n int64) string {
	f := float64(n)
	for _, unit := range []string{"B", "kB", "MB", "GB"} {
		if f < 1000 {
			return fmt.Sprintf("%.3g %s", f, unit)
		}
		f /= 1000
	}
	return fmt.Sprintf("%.3g TB", f)
}

type stateCmd struct {
	Appliance []string `arg:"" help:"The appliances' identifiers, or their names."`
}

// states is what each command of an appliance has it do.
var states = map[string]bijou.ApplianceState{
	"serve": bijou.ApplianceServing, "drain": bijou.ApplianceDraining, "pause": bijou.AppliancePaused, "drop": bijou.ApplianceDropped,
}

func (c *stateCmd) Run(s *session) error {
	o, err := s.operator()
	if err != nil {
		return err
	}
	all, err := o.Steering.List(s.ctx)
	if err != nil {
		return err
	}
	state := states[s.command]
	for _, name := range c.Appliance {
		id, err := findAppliance(all, name)
		if err != nil {
			return err
		}
		if err := o.Steering.SetState(s.ctx, steering.NewState{ID: id, State: state}); err != nil {
			return err
		}
		if s.cli.Output != "json" {
			fmt.Fprintf(s.out, "%s  will be %s within seconds\n", id, state)
		}
	}
	return nil
}

// findAppliance returns the identifier of the appliance with the name, or the name where it is an identifier.
func findAppliance(all steering.Appliances, name string) (bijou.ApplianceID, error) {
	var found []bijou.ApplianceID
	for _, a := range all.Appliances {
		if a.Appliance.Name == name || string(a.Appliance.ID) == name {
			found = append(found, a.Appliance.ID)
		}
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("no appliance has the identifier or name %q: see them with: bijou appliance list: %w", name, bijou.NotFound)
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("%d appliances have the name %q: use the identifier, such as %s: %w", len(found), name, found[0], bijou.Conflict)
}

type whyCmd struct {
	Session string `arg:"" help:"The viewing's identifier, such as ply_x."`
}

func (c *whyCmd) Run(s *session) error {
	o, err := s.operator()
	if err != nil {
		return err
	}
	d, err := o.Steering.Why(s.ctx, bijou.SessionID(c.Session))
	if err != nil {
		return err
	}
	return s.print(d, func() error {
		from := "an unknown place"
		if d.Viewing.Client.IsValid() {
			from = d.Viewing.Client.String()
		}
		fmt.Fprintf(s.out, "%s plays %s, seen from %s at %s\n", d.Viewing.Session, d.Viewing.Title, from, d.At.Format("2006-01-02 15:04:05 MST"))
		var rows [][]string
		for i, p := range append(d.Places, d.Left...) {
			place := fmt.Sprint(i + 1)
			if i >= len(d.Places) {
				place = "left"
			}
			rows = append(rows, []string{place, p.Name, p.Address, orDash(p.Zone), p.Reason})
		}
		return s.table([]string{"PLACE", "NAME", "ADDRESS", "ZONE", "WHY"}, rows)
	})
}

type tokenCmd struct {
	Create tokenCreateCmd `cmd:"" help:"Make a token by which one machine may join the service, once."`
}

type tokenCreateCmd struct {
	Role string        `help:"What the machine will be." enum:"appliance" default:"appliance"`
	For  time.Duration `help:"How long the token can be used." default:"1h"`
}

func (c *tokenCreateCmd) Run(s *session) error {
	o, err := s.operator()
	if err != nil {
		return err
	}
	t, err := o.CreateToken(s.ctx, app.NewToken{Role: c.Role, ForMS: c.For.Milliseconds()})
	if err != nil {
		return err
	}
	return s.print(t, func() error {
		_, err := fmt.Fprintln(s.out, t.Token) // alone, so that it can go into a file
		return err
	})
}

type grantCmd struct {
	Revoke grantRevokeCmd `cmd:"" help:"Take a viewing's grants back, before they end."`
	Rotate grantRotateCmd `cmd:"" help:"Sign grants with a new key from a minute on."`
	Keys   grantKeysCmd   `cmd:"" help:"Print the public keys that grants are checked with (PEM)."`
	Key    grantKeyCmd    `cmd:"" help:"Make a pair of keys, for appliances in front of another origin."`
	Sign   grantSignCmd   `cmd:"" help:"Sign a grant, for appliances in front of another origin; prints the path that it begins."`
}

type grantRevokeCmd struct {
	Session string `arg:"" help:"The viewing's identifier, such as ply_x."`
}

func (c *grantRevokeCmd) Run(s *session) error {
	o, err := s.operator()
	if err != nil {
		return err
	}
	return o.Playback.Revoke(s.ctx, bijou.SessionID(c.Session))
}

type grantRotateCmd struct{}

func (grantRotateCmd) Run(s *session) error {
	o, err := s.operator()
	if err != nil {
		return err
	}
	return o.Playback.Rotate(s.ctx)
}

type grantKeysCmd struct{}

func (grantKeysCmd) Run(s *session) error {
	o, err := s.operator()
	if err != nil {
		return err
	}
	keys, err := o.Playback.PublicKeys(s.ctx)
	if err != nil {
		return err
	}
	_, err = io.WriteString(s.out, keys.PEM)
	return err
}

type grantKeyCmd struct {
	Private string `arg:"" help:"File that the private key is written to (PEM); it is not overwritten. The public key is printed."`
}

func (c *grantKeyCmd) Run(s *session) error {
	if _, err := os.Stat(c.Private); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is there already: choose another name: %w", c.Private, bijou.Conflict)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.Private, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		return fmt.Errorf("%s cannot be written (%v): %w", c.Private, cause(err), bijou.Invalid)
	}
	if der, err = x509.MarshalPKIXPublicKey(public); err != nil {
		return err
	}
	return pem.Encode(s.out, &pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

type grantSignCmd struct {
	Asset string        `arg:"" help:"First folder of the paths below the origin that may be fetched."`
	Key   string        `help:"File with the private key (PEM)." required:"" placeholder:"FILE"`
	For   time.Duration `help:"How long the grant holds." default:"4h"`
}

func (c *grantSignCmd) Run(s *session) error {
	key, err := trust.SigningKey(c.Key)
	if err != nil {
		return err
	}
	token, err := grant.Sign(bijou.Grant{
		Session: bijou.NewID[bijou.SessionID](bijou.SessionPrefix), Title: "", Asset: bijou.AssetID(c.Asset), Expires: time.Now().Add(c.For),
	}, key)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.out, grant.Base(token, bijou.AssetID(c.Asset)))
	return err
}
