package bbq.client;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.dataformat.toml.TomlMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Set;

/**
 * Where the server is and how to prove who is asking. Certificates and keys are PEM, in place or the name of a file; none is null.
 *
 * @param url {@code https://host:port} for TLS, {@code http://127.0.0.1:port} without it on loopback, {@code unix:/path} on a Unix
 *     socket; the port is 6789 unless given
 * @param ca the authority that signed the server's certificate; without it those that Java knows
 * @param token sent with each call as {@code authorization: Bearer}
 * @param clientCertificate the client's own certificate chain, where the server asks for one
 * @param clientKey the key of it
 * @param transport {@code auto}, {@code http2} or {@code http3}; this client speaks HTTP/2, and refuses {@code http3}
 */
public record Profile(String url, String ca, String token, String clientCertificate, String clientKey, String transport) {
  /** Where {@link #find} looks when nothing else is given: what {@code bbq serve} writes into its data directory. */
  public static final String PATH = "bbq-data/client.toml";

  /** The environment variable that names a profile file. */
  public static final String VARIABLE = "BBQ_PROFILE";

  private static final Set<String> FILES = Set.of("ca", "client_certificate", "client_key");
  private static final Set<String> OTHERS = Set.of("url", "token", "transport");

  /** A profile with a URL, the certificate to trust and a token. */
  public static Profile of(String url, String ca, String token) {
    return new Profile(url, ca, token, null, null, "auto");
  }

  /** The same server with another token, or none. */
  public Profile withToken(String other) {
    return new Profile(url, ca, other, clientCertificate, clientKey, transport);
  }

  /** Reads a profile from a TOML file. Names of files in it are relative to it. */
  public static Profile load(Path path) {
    JsonNode table;
    try {
      table = new TomlMapper().readTree(Files.readString(path));
    } catch (IOException error) {
      String why = error.getMessage().lines().findFirst().orElse("it cannot be read");
      throw new ProfileException(
          "cannot read the profile " + path + ": " + why + "; `bbq serve` writes one into its data directory");
    }
    for (Map.Entry<String, JsonNode> entry : table.properties()) {
      String key = entry.getKey();
      if (!FILES.contains(key) && !OTHERS.contains(key)) {
        throw new ProfileException(path + ": there is no key `" + key + "`");
      }
      if (!entry.getValue().isTextual()) {
        throw new ProfileException(path + ": `" + key + "` must be a string");
      }
    }
    if (!table.has("url")) {
      throw new ProfileException(path + ": `url` is missing");
    }
    Path base = path.toAbsolutePath().getParent();
    return new Profile(
        text(table, "url", null),
        file(table, "ca", base),
        text(table, "token", null),
        file(table, "client_certificate", base),
        file(table, "client_key", base),
        text(table, "transport", "auto"));
  }

  /** Loads the profile that {@code BBQ_PROFILE} names, else {@code ./bbq-data/client.toml}. */
  public static Profile find() {
    String chosen = System.getenv(VARIABLE);
    if (chosen != null && !chosen.isEmpty()) {
      return load(Path.of(chosen));
    }
    if (!Files.exists(Path.of(PATH))) {
      throw new ProfileException(
          "there is no profile at ./" + PATH + "; start a server here with `bbq serve`, or name a profile with " + VARIABLE);
    }
    return load(Path.of(PATH));
  }

  /** The text of a certificate or a key, read from its file if it is in one. */
  static String pem(String value) {
    if (value.contains("-----BEGIN")) {
      return value;
    }
    try {
      return Files.readString(Path.of(value));
    } catch (IOException error) {
      throw new ProfileException("cannot read a certificate or key of the profile: " + error);
    }
  }

  /** Shows what is there, never the secret itself. */
  @Override
  public String toString() {
    return "Profile[url=" + url + ", transport=" + transport + "]";
  }

  private static String text(JsonNode table, String key, String otherwise) {
    return table.has(key) ? table.get(key).textValue() : otherwise;
  }

  private static String file(JsonNode table, String key, Path base) {
    String value = text(table, key, null);
    return value == null || value.contains("-----BEGIN") ? value : base.resolve(value).toString();
  }
}
