/* SPDX-License-Identifier: Apache-2.0
 * conf/tls.h - what of the TLS of receivers and exporters must fit together. What is in the files
 * is looked at by those who need them (relay/certificates.h). */
#ifndef CONF_TLS_H
#define CONF_TLS_H

#include "conf/conf.h"
#include "conf/report.h"
#include "conf/yaml.h"

/* `item` is the exporter in the file, or NULL. */
void conf_tls_of_exporter(const struct conf_exporter *e, const struct node *item, struct report *r);
void conf_tls_of_receivers(const struct conf *c, const struct node *root, struct report *r);

#endif
