package bbq.conformance;

import bbq.client.Client;
import bbq.client.Profile;
import java.util.HashMap;
import java.util.Map;

/** The runner: one scenario, as clients/conformance/scenarios.md says. */
final class Runner {
  private Runner() {}

  public static void main(String[] args) {
    Host host = new Host();
    try {
      Map<String, String> options = new HashMap<>();
      for (int i = 0; i + 1 < args.length; i += 2) {
        options.put(args[i], args[i + 1]);
      }
      Check.same("h2", options.get("--transport"), "the transport");
      try (Client client = Client.connect(Profile.find())) {
        int messages = Integer.parseInt(options.get("--messages"));
        int subscriptions = Integer.parseInt(options.get("--subscriptions"));
        new Scenarios(host, client, options.get("--queue"), messages, subscriptions).run(options.get("--scenario"));
      }
      host.say(Map.of("result", "passed"));
    } catch (Exception | AssertionError failed) {
      failed.printStackTrace();
      host.say(Map.of("result", "failed", "why", String.valueOf(failed).lines().findFirst().orElse("")));
      System.exit(1);
    }
  }
}
