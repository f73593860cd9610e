package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"bijou"
	"bijou/service/pulse"
)

type pulseCmd struct {
	Since     time.Duration `help:"Length of the range, up to now." default:"1h" placeholder:"1h"`
	By        string        `help:"Tell the range apart by title, appliance, zone or player." enum:",title,appliance,zone,player" default:""`
	Title     string        `help:"Only this title."`
	Appliance string        `help:"Only this appliance."`
	Zone      string        `help:"Only this zone."`
	Player    string        `help:"Only this player."`
	Limit     int           `help:"How many values to tell apart; the others are added up as *." default:"20"`
	Watch     bool          `help:"Print a line whenever something changes, until Ctrl-C."`
}

func (c *pulseCmd) Run(s *session) error {
	o, err := s.operator()
	if err != nil {
		return err
	}
	if c.Watch {
		return s.watchPulse(o.Pulse)
	}
	now := time.Now()
	a, err := o.Pulse.Query(s.ctx, pulse.Query{
		From: now.Add(-c.Since).UTC().Format(time.RFC3339), Until: now.UTC().Format(time.RFC3339), By: c.By, Limit: c.Limit,
		Title: c.Title, Appliance: c.Appliance, Zone: c.Zone, Player: c.Player,
	})
	if err != nil {
		return err
	}
	return s.print(a, func() error { return c.table(s, a) })
}

// table prints the range: by value where that was asked for, over time otherwise, and in all.
func (c *pulseCmd) table(s *session, a pulse.Answer) error {
	var rows [][]string
	first := "FROM (UTC)"
	if a.By != "" {
		first = strings.ToUpper(string(a.By))
		for _, g := range a.Groups {
			rows = append(rows, figuresRow(valueName(g.Value), g.Figures, nil))
		}
	} else {
		for _, p := range a.Points {
			if p.Figures.Starts != 0 || p.Figures.PlayedMS != 0 || p.Figures.Failed != 0 {
				rows = append(rows, figuresRow(p.At.Format("01-02 15:04"), p.Figures, p.Expected))
			}
		}
	}
	rows = append(rows, figuresRow("in all", a.Total, nil))
	if err := s.table([]string{first, "STARTS", "PER S", "EXPECTED", "FAILED", "WHY", "LEFT", "FIRST PICTURE P50/P95/P99", "STALLED", "RATE", "WATCHING"}, rows); err != nil {
		return err
	}
	if len(a.Points) > 0 && a.Points[len(a.Points)-1].Expected != nil && !a.Points[len(a.Points)-1].Expected.StartsPerSecond.Known {
		fmt.Fprintf(s.out, "\nWhat to expect is said once a week is known (since %s).\n", a.Since.Format("2006-01-02 15:04 MST"))
	}
	return nil
}

func figuresRow(first string, f bijou.PulseFigures, e *pulse.Expected) []string {
	var why []string
	for _, x := range f.Failures {
		why = append(why, fmt.Sprintf("%s %d", x.Reason, x.Count))
	}
	expected := ""
	if e != nil {
		expected = band(e.StartsPerSecond)
	}
	return []string{
		first, fmt.Sprint(f.Starts), perSecond(f.StartsPerSecond), orDash(expected), fmt.Sprintf("%d (%s)", f.Failed, percent(f.FailedRatio)), orDash(strings.Join(why, ", ")),
		fmt.Sprint(f.Abandoned), times(f.FirstFrame), percent(f.RebufferRatio), orDash(rate(f.Rate.MeanBPS)), fmt.Sprintf("%.1f", f.Watching),
	}
}

// valueName prints a dimension's value.
func valueName(v string) string {
	switch v {
	case "":
		return "(not said)"
	case "*":
		return "* (all others)"
	}
	return v
}

func band(b bijou.PulseBand) string {
	if !b.Known {
		return ""
	}
	return perSecond(b.Low) + " to " + perSecond(b.High)
}

func perSecond(v float64) string { return fmt.Sprintf("%.2f", v) }

func percent(v float64) string { return fmt.Sprintf("%.1f %%", 100*v) }

func times(t bijou.PulseTimes) string {
	if t.Count == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f / %.2f / %.2f s", t.P50MS/1000, t.P95MS/1000, t.P99MS/1000)
}

func rate(bps float64) string {
	if bps == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f Mbit/s", bps/1e6)
}

// watchPulse prints a line for each event until Ctrl-C or until the service goes.
func (s *session) watchPulse(p *pulse.Client) error {
	enc := json.NewEncoder(s.out)
	enc.SetEscapeHTML(false)
	err := p.Follow(s.ctx, func(l bijou.PulseLive) error {
		if s.cli.Output == "json" {
			return enc.Encode(l)
		}
		expected := "too few days to expect anything"
		if l.Starts.Known {
			expected = "expected " + band(l.Starts)
		}
		_, err := fmt.Fprintf(s.out, "%s  %s starts/s (1 s)  %s (10 s)  %s (1 min)  %s; this minute: %d starts, %d failed, first picture %s, stalled %s, %.1f watching\n",
			l.At.Format("15:04:05"), perSecond(l.Starts1), perSecond(l.Starts10), perSecond(l.Starts60), expected,
			l.Minute.Starts, l.Minute.Failed, times(l.Minute.FirstFrame), percent(l.Minute.RebufferRatio), l.Minute.Watching)
		return err
	})
	if s.ctx.Err() != nil {
		return nil // Ctrl-C is how it ends
	}
	return err
}
