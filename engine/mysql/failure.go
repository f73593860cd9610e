package mysql

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"

	"bijou"

	"github.com/go-sql-driver/mysql"
)

// fault is what a failure comes to.
type fault struct {
	kind bijou.Kind
	fix  string
	// What may pass is tried again. Where the connection is lost too, so is what else goes to that server.
	passes, lost bool
}

var (
	busy    = fault{bijou.Unavailable, "others change the same: try again", true, false}
	away    = fault{bijou.Unavailable, "see to it that the server runs and is reached from here", true, true}
	crowded = fault{bijou.Unavailable, "raise the server's max_connections", true, false}
	demoted = fault{bijou.Unavailable, "give the address of the server that takes changes, or set its read_only to OFF", true, true}
	full    = fault{bijou.Exhausted, "free space on the server's disk", false, false}
	denied  = fault{bijou.Denied, "see to the user, the password and the user's rights (GRANT ALL on the database)", false, false}
	missing = fault{bijou.Unavailable, "make it, by CREATE DATABASE", false, false}
	taken   = fault{bijou.Conflict, "it is there already", false, false}
	unfit   = fault{bijou.Invalid, "shorten it, and use UTF-8", false, false}
	broken  = fault{bijou.Corrupt, "put the database back from a backup", false, false}
	unknown = fault{bijou.Unavailable, "see the server's own log", false, false}
)

// faults are the errors that servers answer with. The numbers are those of MySQL's and MariaDB's references.
var faults = map[uint16]fault{
	1205: busy, 1213: busy, 1020: busy, 3101: busy, 1180: busy, 1637: busy, 3572: busy,
	1040: crowded, 1203: crowded, 1226: crowded, 1461: crowded,
	1053: away, 1077: away, 1079: away, 1080: away, 1152: away, 1158: away, 1159: away, 1160: away, 1161: away, 1184: away,
	1317: away, 1927: away, 3024: away, 3169: away, 4031: away,
	1290: demoted, 1792: demoted, 1836: demoted,
	1021: full, 1114: full, 1041: full,
	1044: denied, 1045: denied, 1130: denied, 1142: denied, 1143: denied, 1227: denied, 1251: denied, 1370: denied, 1698: denied,
	1820: denied, 1862: denied, 3118: denied, 3159: denied,
	1049: missing,
	1062: taken, 1586: taken,
	1153: unfit, 1264: unfit, 1300: unfit, 1366: unfit, 1406: unfit, 3854: unfit,
	1033: broken, 1034: broken, 1035: broken, 1194: broken, 1195: broken, 1712: broken, 1877: broken,
}

// diskFull is how a server says in words that the system's error was ENOSPC; the number is that of the operation that met it.
const diskFull = "28 "

// faultOf finds out what err comes to.
func faultOf(err error) fault {
	var se *mysql.MySQLError
	if errors.As(err, &se) {
		if f, ok := faults[se.Number]; ok {
			return f
		}
		if strings.Contains(se.Message, "No space left") || strings.Contains(se.Message, "errno: "+diskFull) || strings.Contains(se.Message, "error "+diskFull) {
			return full
		}
		return unknown
	}
	var verify *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	if errors.As(err, &verify) || errors.As(err, &authority) || errors.Is(err, mysql.ErrNoTLS) {
		return fault{bijou.Unavailable, "give the server a certificate that this system trusts, or leave tls=true out", false, true}
	}
	for _, refused := range []error{mysql.ErrCleartextPassword, mysql.ErrOldPassword, mysql.ErrUnknownPlugin, mysql.ErrNativePassword} {
		if errors.Is(err, refused) {
			return denied
		}
	}
	if errors.Is(err, mysql.ErrPktTooLarge) {
		return unfit
	}
	return away // all else is of the connection
}

// passing is a failure that is worth another try.
type passing struct {
	error
	lost bool // the server did not answer
}

func (p passing) Unwrap() error { return p.error }

// failure returns err as the store's: a sentence that ends in a kind. What has a kind already passes through, as does the absence of a row.
func (d *Database) failure(verb string, err error) error {
	if err == nil || bijou.KindOf(err) != "" || errors.Is(err, context.Canceled) || errors.Is(err, sql.ErrNoRows) {
		return err
	}
	f, says := faultOf(err), strings.TrimSpace(err.Error())
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		f, says = away, "it did not answer in time"
	case errors.Is(err, driver.ErrBadConn), errors.Is(err, mysql.ErrInvalidConn):
		says = "it hung up"
	}
	if f.lost {
		d.forget()
	}
	err = fmt.Errorf("%s in database %s (%s): %s: %w", verb, d.where, says, f.fix, f.kind)
	if f.passes {
		return passing{err, f.lost}
	}
	return err
}

// forget closes the connections that nobody uses: they lead to a server that is gone, or is no longer the one that takes changes.
func (d *Database) forget() {
	d.pool.SetMaxIdleConns(0)
	d.pool.SetMaxIdleConns(maxConnections)
}

// numbered tells whether err is the server's error with one of the numbers.
func numbered(err error, numbers ...uint16) bool {
	var se *mysql.MySQLError
	if !errors.As(err, &se) {
		return false
	}
	for _, n := range numbers {
		if se.Number == n {
			return true
		}
	}
	return false
}

// duplicate tells whether err says that a value which must be unique is there already.
func duplicate(err error) bool { return numbered(err, 1062, 1586) }

// orphan tells whether err says that the row which a new one belongs to does not exist.
func orphan(err error) bool { return numbered(err, 1452, 1216) }
