# SPDX-License-Identifier: Apache-2.0
# docker build -t spanrelay .          The last stage is the program, its libraries and the CA roots.
# BASE may be any Debian 12, 13 or Ubuntu 24.04, for instance an imported debootstrap tree. With the OpenSSL 3.5 of
# Debian 13 AES-GCM is twice as fast as with the 3.0 of Debian 12, where the processor has VAES.
ARG BASE=debian:trixie-slim
FROM ${BASE} AS build
WORKDIR /src
COPY packages.txt ./
COPY tools/install-packages tools/
RUN tools/install-packages build
COPY . .
RUN make clean && make -j2 && tools/image-root /image

FROM scratch
COPY --from=build /image/ /
COPY --from=build --chown=65532:65532 /image/var/lib/spanrelay /var/lib/spanrelay
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
USER 65532:65532
WORKDIR /var/lib/spanrelay
VOLUME /var/lib/spanrelay
EXPOSE 4317 4318 4320
HEALTHCHECK --interval=10s --timeout=6s CMD ["/usr/bin/spanrelay", "status"]
ENTRYPOINT ["/usr/bin/spanrelay"]
CMD ["run", "-c", "/etc/spanrelay/spanrelay.yaml"]
