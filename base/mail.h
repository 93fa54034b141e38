/* SPDX-License-Identifier: Apache-2.0
 * base/mail.h - what travels between rooms: a link inside the thing that is given away.
 * `kind` tells the receiving room what the mail is embedded in (relay/path.c names the kinds). */
#ifndef BASE_MAIL_H
#define BASE_MAIL_H

struct mail {
	struct mail *next;
	int kind;
};

#endif
