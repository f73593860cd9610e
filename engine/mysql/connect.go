package mysql

import (
	"context"
	"database/sql/driver"
	"errors"
)

// settings are what every statement relies on, whatever the server's own defaults are: what does not fit is refused and never cut off; times
// are UTC; nobody waits long for a lock; and what a process that is gone had locked is free within 15 s.
var settings = []string{
	`SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED`,
	`SET SESSION sql_mode = 'STRICT_ALL_TABLES,ONLY_FULL_GROUP_BY,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION',
		time_zone = '+00:00', autocommit = 1, foreign_key_checks = 1, unique_checks = 1, innodb_lock_wait_timeout = 2, wait_timeout = 15`,
}

// connector makes connections that have the settings.
type connector struct{ driver.Connector }

// Connect implements driver.Connector.
func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	for _, query := range settings {
		if _, err := conn.(driver.ExecerContext).ExecContext(ctx, query, nil); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	return conn, nil
}
