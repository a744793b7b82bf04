# syntax=docker/dockerfile:1
FROM rust:1-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY config config
COPY templates templates
COPY src src
# Not built, but named by the manifest.
COPY benches benches
RUN cargo build --release --locked && cp target/release/smtp2go-gateway /usr/local/bin/

FROM debian:bookworm-slim
# The provider is reached over HTTPS: its certificate is checked against the system's authorities.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/smtp2go-gateway --shell /usr/sbin/nologin gateway \
    && install -d -o gateway -g gateway -m 0700 /var/lib/smtp2go-gateway
COPY --from=build /usr/local/bin/smtp2go-gateway /usr/local/bin/smtp2go-gateway
USER gateway
# Accepted mail lives here until the provider has it: mount a volume.
VOLUME /var/lib/smtp2go-gateway
EXPOSE 2525
HEALTHCHECK --interval=30s --timeout=5s --start-period=5s CMD ["smtp2go-gateway", "health"]
ENTRYPOINT ["smtp2go-gateway"]
CMD ["run"]
