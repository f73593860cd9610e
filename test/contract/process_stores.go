package contract

import (
	"bytes"
	"context"
	"io"
	"time"

	"bijou"
)

// Members speaks to a process that keeps members.
type Members struct{ *Process }

// Work speaks to a process that keeps work.
type Work struct{ *Process }

// Log speaks to a process that keeps a log.
type Log struct{ *Process }

// Blobs speaks to a process that keeps blobs, which it serves by ServedBlobs.
type Blobs struct{ *Process }

func (m Members) CreateAccount(ctx context.Context, a bijou.Account, passwordHash string) error {
	return m.call(ctx, "CreateAccount", []any{a, passwordHash})
}

func (m Members) Account(ctx context.Context, id bijou.AccountID) (a bijou.Account, err error) {
	err = m.call(ctx, "Account", []any{id}, &a)
	return a, err
}

func (m Members) Credentials(ctx context.Context, email string) (a bijou.Account, hash string, err error) {
	err = m.call(ctx, "Credentials", []any{email}, &a, &hash)
	return a, hash, err
}

func (m Members) SetPassword(ctx context.Context, id bijou.AccountID, passwordHash string, keep bijou.SignInID) error {
	return m.call(ctx, "SetPassword", []any{id, passwordHash, keep})
}

func (m Members) DeleteAccount(ctx context.Context, id bijou.AccountID) error {
	return m.call(ctx, "DeleteAccount", []any{id})
}

func (m Members) OpenSession(ctx context.Context, s bijou.MemberSession) error {
	return m.call(ctx, "OpenSession", []any{s})
}

func (m Members) Session(ctx context.Context, tokenHash string, now time.Time) (s bijou.MemberSession, err error) {
	err = m.call(ctx, "Session", []any{tokenHash, now}, &s)
	return s, err
}

func (m Members) PutReset(ctx context.Context, r bijou.Reset) error {
	return m.call(ctx, "PutReset", []any{r})
}

func (m Members) Reset(ctx context.Context, tokenHash string, now time.Time) (a bijou.Account, err error) {
	err = m.call(ctx, "Reset", []any{tokenHash, now}, &a)
	return a, err
}

func (m Members) UseReset(ctx context.Context, tokenHash, passwordHash string, now time.Time) error {
	return m.call(ctx, "UseReset", []any{tokenHash, passwordHash, now})
}

func (m Members) CreateProfile(ctx context.Context, p bijou.Profile) error {
	return m.call(ctx, "CreateProfile", []any{p})
}

func (m Members) SavePosition(ctx context.Context, p bijou.Position) error {
	return m.call(ctx, "SavePosition", []any{p})
}

func (m Members) Position(ctx context.Context, profile bijou.ProfileID, title bijou.TitleID) (p bijou.Position, err error) {
	err = m.call(ctx, "Position", []any{profile, title}, &p)
	return p, err
}

func (w Work) Enqueue(ctx context.Context, ws []bijou.Work) error {
	return w.call(ctx, "Enqueue", []any{ws})
}

func (w Work) Lease(ctx context.Context, worker string, term time.Duration, now time.Time) (out bijou.Work, err error) {
	err = w.call(ctx, "Lease", []any{worker, term, now}, &out)
	return out, err
}

func (w Work) Renew(ctx context.Context, id bijou.JobID, worker string, progress float64, term time.Duration, now time.Time) error {
	return w.call(ctx, "Renew", []any{id, worker, progress, term, now})
}

func (w Work) Finish(ctx context.Context, id bijou.JobID, worker string, end bijou.WorkEnd) error {
	return w.call(ctx, "Finish", []any{id, worker, end})
}

func (w Work) WorkOf(ctx context.Context, id bijou.TitleID) (ws []bijou.Work, err error) {
	err = w.call(ctx, "WorkOf", []any{id}, &ws)
	return ws, err
}

func (l Log) Append(ctx context.Context, topic string, partition int, records []bijou.Record) (first int64, err error) {
	err = l.call(ctx, "Append", []any{topic, partition, records}, &first)
	return first, err
}

func (l Log) Read(ctx context.Context, topic string, partition int, from int64, limit int) (rs []bijou.Record, err error) {
	err = l.call(ctx, "Read", []any{topic, partition, from, limit}, &rs)
	return rs, err
}

func (l Log) Commit(ctx context.Context, group, topic string, partition int, next int64) error {
	return l.call(ctx, "Commit", []any{group, topic, partition, next})
}

func (l Log) Committed(ctx context.Context, group, topic string, partition int) (next int64, err error) {
	err = l.call(ctx, "Committed", []any{group, topic, partition}, &next)
	return next, err
}

func (l Log) Partitions(ctx context.Context, topic string) (n int, err error) {
	err = l.call(ctx, "Partitions", []any{topic}, &n)
	return n, err
}

// ServedBlobs is a store of blobs as it is served to Blobs: each blob in one piece.
type ServedBlobs struct{ Store bijou.BlobStore }

func (b ServedBlobs) Put(ctx context.Context, key string, content []byte) (bijou.Blob, error) {
	return b.Store.Put(ctx, key, bytes.NewReader(content))
}

func (b ServedBlobs) Get(ctx context.Context, key string, offset, length int64) (content []byte, blob bijou.Blob, err error) {
	r, blob, err := b.Store.Get(ctx, key, offset, length)
	if err != nil {
		return nil, blob, err
	}
	defer r.Close()
	content, err = io.ReadAll(r)
	return content, blob, err
}

func (b ServedBlobs) Delete(ctx context.Context, key string) error { return b.Store.Delete(ctx, key) }

func (b Blobs) Put(ctx context.Context, key string, r io.Reader) (blob bijou.Blob, err error) {
	content, err := io.ReadAll(r)
	if err != nil {
		return blob, err
	}
	err = b.call(ctx, "Put", []any{key, content}, &blob)
	return blob, err
}

func (b Blobs) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, bijou.Blob, error) {
	var content []byte
	var blob bijou.Blob
	err := b.call(ctx, "Get", []any{key, offset, length}, &content, &blob)
	return io.NopCloser(bytes.NewReader(content)), blob, err
}

func (b Blobs) Delete(ctx context.Context, key string) error {
	return b.call(ctx, "Delete", []any{key})
}
