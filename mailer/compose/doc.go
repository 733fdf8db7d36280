// Package compose makes whole mails from a campaign's template.
package compose
