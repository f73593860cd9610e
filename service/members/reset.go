package members

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"bijou"
	"bijou/kit/trust"
)

const (
	// resetTerm is how long a reset link can be used.
	resetTerm = time.Hour
	// resetTries is how often a link is sent before it is given up, and resetWait how long after the first failure: doubled each time, an hour in all.
	resetTries = 7
	resetWait  = time.Minute
	// resetLook is how often the wishes that wait are looked at without a new one.
	resetLook = 15 * time.Second
	// resetBatch is how many are sent between two looks.
	resetBatch = 50
)

// AskReset keeps the wish for a reset link. It does the same for an address that has an account and for one that has none: the rest is done
// behind it.
func (s *Service) AskReset(ctx context.Context, in AskReset) (struct{}, error) {
	email, err := bijou.NormalEmail(in.Email)
	if err != nil {
		return struct{}{}, err
	}
	now := s.Now().UTC()
	for _, c := range []struct {
		key string
		rule
	}{{"mail from " + neighbourhood(bijou.CallerOf(ctx).Client), mailAddress}, {"mail to " + email, mailAccount}} {
		if wait := s.tries.take(c.key, c.rule, now); wait > 0 {
			return struct{}{}, tooOften("too many links were asked for", wait)
		}
	}
	if err := s.Accounts.RequestReset(ctx, bijou.ResetRequest{Email: email, Asked: now, Next: now}); err != nil {
		return struct{}{}, err
	}
	select {
	case s.wished <- struct{}{}:
	default: // somebody has knocked already
	}
	return struct{}{}, nil
}

// sendResets sends the links that were asked for until ctx ends.
func (s *Service) sendResets(ctx context.Context) error {
	tick := time.NewTicker(resetLook)
	defer tick.Stop()
	failed := false
	for {
		err := s.sendDue(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && !failed {
			s.Log.Warn("reset links wait", "retry_in", resetLook, "error", err)
		}
		failed = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-s.wished:
		case <-tick.C:
		}
	}
}

// sendDue sends what is due. It fails where the store does: a link that cannot be sent waits for its next time.
func (s *Service) sendDue(ctx context.Context) error {
	for {
		due, err := s.Accounts.ResetRequests(ctx, s.Now(), resetBatch)
		if err != nil || len(due) == 0 {
			return err
		}
		for _, r := range due {
			if err := s.sendReset(ctx, r); err != nil {
				return err
			}
		}
	}
}

// sendReset sends one link, and says what is to become of the wish for it.
func (s *Service) sendReset(ctx context.Context, r bijou.ResetRequest) error {
	account, _, err := s.Accounts.Credentials(ctx, r.Email)
	if errors.Is(err, bijou.NotFound) {
		return s.Accounts.FinishReset(ctx, r.Email)
	}
	if err != nil {
		return err
	}
	link, err := s.link(ctx, account)
	if err != nil {
		return err
	}
	err = s.Mail.Send(ctx, s.resetMail(account, link))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	r.Tries++
	if err == nil || errors.Is(err, bijou.Invalid) || r.Tries >= resetTries {
		if err != nil {
			s.Log.Error("reset link is lost: it cannot be sent", "account", account.ID, "tries", r.Tries, "error", err)
		}
		return s.Accounts.FinishReset(ctx, r.Email)
	}
	r.Next = s.Now().UTC().Add(resetWait << (r.Tries - 1))
	return s.Accounts.PostponeReset(ctx, r)
}

func (s *Service) resetMail(account bijou.Account, link ResetLink) bijou.Message {
	text := "Somebody, probably you, asked to set a new password for " + account.Email + ".\n\n" +
		"Open this link within an hour; it works once:\n\n" + link.Link + "\n\n" +
		"If it was not you, do nothing: the password stays as it is.\n"
	return bijou.Message{From: s.Config.Mail.From, To: account.Email, Subject: "A new password for Bijou", Text: text, At: s.Now().UTC()}
}

// link makes a reset link, in place of the account's earlier one. Its token stands behind the #, so that no server on the way reads it.
func (s *Service) link(ctx context.Context, account bijou.Account) (ResetLink, error) {
	token, expires := trust.NewToken(), s.Now().UTC().Add(resetTerm)
	err := s.Accounts.PutReset(ctx, bijou.Reset{TokenHash: trust.HashToken(token), Account: account.ID, Expires: expires})
	base := strings.TrimSuffix(s.Address, "/")
	return ResetLink{Account: account, Link: base + "/reset-password#" + token, Expires: expires}, err
}

// UseReset sets a new password by a link, ends every sign-in of the account, and opens one. It fails with NotFound for a link that was used
// or is too old, and with Invalid for a password that others would guess, which leaves the link as it is.
func (s *Service) UseReset(ctx context.Context, in UseReset) (Session, error) {
	ended := fmt.Errorf("the link was used already or is too old: ask for another: %w", bijou.NotFound)
	token := trust.HashToken(in.Token)
	account, err := s.Accounts.Reset(ctx, token, s.Now())
	if errors.Is(err, bijou.NotFound) {
		return Session{}, ended
	}
	if err != nil {
		return Session{}, err
	}
	if err := checkPassword(in.Password, account.Email); err != nil {
		return Session{}, err
	}
	hash, err := s.passwords.Hash(ctx, in.Password)
	if err != nil {
		return Session{}, err
	}
	if err := s.Accounts.UseReset(ctx, token, hash, s.Now()); errors.Is(err, bijou.NotFound) {
		return Session{}, ended
	} else if err != nil {
		return Session{}, err
	}
	return s.open(ctx, account, in.Cookie, in.Device)
}
