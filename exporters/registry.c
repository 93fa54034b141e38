/* SPDX-License-Identifier: Apache-2.0 */
#include "exporters/exporter.h"

static const struct exporter_ops *const EXPORTERS[] = {
    [PROTOCOL_GRPC] = &EXPORTER_GRPC,
    [PROTOCOL_HTTP] = &EXPORTER_HTTP,
    [PROTOCOL_TERMINAL] = &EXPORTER_TERMINAL,
};

const struct exporter_ops *exporter_find(enum conf_protocol protocol)
{
	return EXPORTERS[protocol];
}

enum coding exporter_coding(const struct conf_exporter *conf)
{
	static const enum coding CODINGS[] = {
	    [COMPRESSION_GZIP] = CODING_GZIP,
	    [COMPRESSION_ZSTD] = CODING_ZSTD,
	    [COMPRESSION_NONE] = CODING_IDENTITY,
	};
	return exporter_find(conf->protocol)->compresses ? CODINGS[conf->compression]
							 : CODING_IDENTITY;
}
